"""LongVideo-R1's own caption files, read and written without loss.

Their shape (data/videocaption_generation.py there): `{"video_name", "width", "captions": [high, medium, low]}`, each
level a list of `{segment_id, level, caption, frame_time, frame_ids}`, ids from 1, times in seconds rounded to 0.1.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from navigation import CaptionTree, InputError, SegmentPath, TimeGrid, write_atomic
from navigation.errors import is_number
from navigation.grid import sample_times

LEVELS = ("high", "medium", "low")
_TAGGED = re.compile(r"\s*(?:<think>.*?</think>\s*)?<caption>((?:(?!</?caption>).)*+)</caption>\s*", re.DOTALL)
_OURS = "clipscout"


def from_released(
    record: Mapping[str, Any], source: str | Path = "released captions", duration: float | None = None
) -> CaptionTree:
    """A released caption file as a caption tree.

    Captions lose the `<caption>` tags that stand around them; tags inside a caption stay. All else that the file holds
    is kept under `made_by["released"]`, so that `to_released` gives the same file back: the times of its frames too,
    and how far they lie from the grid (see `off_grid`).

    Args:
        record: The file's JSON.
        source: For messages.
        duration: Seconds. The file does not say; without it, it is estimated from the last frame's number and time
            (within 0.1 s) and `made_by["duration_estimated"]` is set.

    Raises:
        InputError: not such a file; levels that do not hold width, width² and width³ segments.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("captions"), list):
        raise InputError(source, "captions", None, "give a LongVideo-R1 caption file: {video_name, width, captions}")
    name, width, levels = record.get("video_name"), record.get("width"), record["captions"]
    if not isinstance(name, str) or not name:
        raise InputError(source, "video_name", name, "give the video's file name")
    if not isinstance(width, int) or isinstance(width, bool) or width < 2:
        raise InputError(source, "width", width, "give a width of at least 2")
    if len(levels) != len(LEVELS):
        hint = f"a released file has three levels, {', '.join(LEVELS)}: leave out the others"
        raise InputError(source, "captions", f"{len(levels)} levels", hint)
    ours = record.get(_OURS)
    captions, kept = _captions(levels, width, source, _tagged_before(ours) if isinstance(ours, Mapping) else None)
    if isinstance(ours, Mapping):
        segments = [{"path": list(path), "caption": text} for path, text in captions.items()]
        return CaptionTree.from_dict({**ours, "width": width, "depth": len(LEVELS), "segments": segments}, source)
    made_by: dict[str, Any] = {"captioner": "LongVideo-R1"}
    if duration is None:
        duration, made_by["duration_estimated"] = _estimated_duration(levels, source), True
    others = {key: value for key, value in record.items() if key != "captions"}
    grid = TimeGrid(duration, width, len(LEVELS))
    made_by["released"] = {"file": others, "segments": kept, "off_grid": off_grid(levels, grid)}
    return CaptionTree(Path(name).stem, grid, captions, made_by)


def off_grid(levels: list, grid: TimeGrid) -> dict[str, Any]:
    """How far a released file's segments lie from the grid's: it splits frames, the grid splits seconds.

    Returns:
        `seconds`, the most that a frame lies outside its segment; `segments` whose middle lies in another one; `of`,
        the segments that state times.
    """
    most, outside, stated = 0.0, 0, 0
    for level, items in enumerate(levels, 1):
        for item in items:
            times = item.get("frame_time")
            if isinstance(times, list) and times and is_number(times[0]) and is_number(times[-1]):
                start, end = grid.interval(grid.path(item["segment_id"] - 1, level))
                stated += 1
                most = max(most, start - times[0], times[-1] - end)
                outside += not start <= (times[0] + times[-1]) / 2 <= end
    # Times are rounded to 0.1 s.
    return {"seconds": round(most, 1), "segments": outside, "of": stated}


def to_released(tree: CaptionTree, fps: float | None = None) -> dict[str, Any]:
    """A caption tree in the released shape.

    What came from a released file goes back into the same file. A tree of ours gains the times of its frames, and a key
    `clipscout` with what the released shape has no place for; the released code does not look at it.

    Args:
        fps: For `frame_ids`; without it they are empty.

    Raises:
        InputError: not three levels, or segments without captions.
    """
    if tree.grid.depth != len(LEVELS):
        raise InputError(
            tree.video_id, "depth", tree.grid.depth, "the released shape has three levels: high, medium, low"
        )
    if tree.missing():
        raise InputError(tree.video_id, "segments", f"{len(tree.missing())} missing", "caption the whole tree first")
    released = tree.made_by.get("released")
    if released is not None:
        levels = [[_restored(item, text_of(tree, level, item)) for item in items]
                  for level, items in enumerate(released["segments"], 1)]  # fmt: skip
        record = {**released["file"], "captions": levels}
    else:
        levels = [[_item(tree, path, fps) for path in tree.grid.paths(level)] for level in (1, 2, 3)]
        record = {"video_name": tree.video_id + ".mp4", "width": tree.grid.width, "captions": levels}
    if _same(from_released(record), tree):
        return record
    rest = tree.to_dict()
    for key in ("segments", "width", "depth"):
        del rest[key]
    return {**record, _OURS: rest}


def import_released(path: str | Path, duration: float | None = None) -> CaptionTree:
    """Reads a released caption file."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, "file", str(error), "make this file again: it is not complete JSON") from None
    return from_released(record, path, duration)


def export_released(tree: CaptionTree, path: str | Path, fps: float | None = None) -> None:
    """Writes a released caption file, as their code formats it."""
    write_atomic(path, json.dumps(to_released(tree, fps)))


def text_of(tree: CaptionTree, level: int, item: Mapping[str, Any]) -> str:
    """The caption of a released item in a tree."""
    return tree.captions[tree.grid.path(item["segment_id"] - 1, level)]


def _tagged_before(ours: Mapping[str, Any]) -> set[str]:
    """Captions of an exported file that had tags around them when they were imported."""
    made_by = ours.get("made_by")
    released = made_by.get("released") if isinstance(made_by, Mapping) else None
    levels = released.get("segments") if isinstance(released, Mapping) else None
    items = [item for level in levels or () if isinstance(level, list) for item in level if isinstance(item, Mapping)]
    return {item["caption"] for item in items if isinstance(item.get("caption"), str)}


def _captions(
    levels: list, width: int, source: str | Path, tagged: set[str] | None
) -> tuple[dict[SegmentPath, str], list[list[dict]]]:
    """Captions by path, and per level the items without their captions (with them, where tags were taken off).

    Tags are taken off the captions of `tagged`; None: off all.
    """
    grid = TimeGrid(1.0, width, len(LEVELS))
    captions: dict[SegmentPath, str] = {}
    kept: list[list[dict]] = []
    for level, items in enumerate(levels, 1):
        name = LEVELS[level - 1]
        ids = [item.get("segment_id") if isinstance(item, Mapping) else None for item in items]
        if sorted(ids, key=repr) != sorted(range(1, width**level + 1), key=repr):
            raise InputError(
                source, f"captions, {name}", f"{len(ids)} segments", f"give segment_id 1 to {width**level}"
            )
        kept.append([])
        for item in items:
            if not isinstance(item.get("caption"), str):
                hint = "give a text"
                raise InputError(source, f"captions, {name} {item['segment_id']}", item.get("caption"), hint)
            text = (
                item["caption"] if tagged is not None and item["caption"] not in tagged else _untagged(item["caption"])
            )
            captions[grid.path(item["segment_id"] - 1, level)] = text
            kept[-1].append(dict(item) if text != item["caption"] else {**item, "caption": None})
    order = {path: captions[path] for path in grid.paths()}
    return order, kept


def _untagged(caption: str) -> str:
    match = _TAGGED.fullmatch(caption)
    return match.group(1).strip() if match else caption


def _restored(item: Mapping[str, Any], text: str) -> dict[str, Any]:
    raw = item["caption"]
    return {**item, "caption": raw if raw is not None and _untagged(raw) == text else text}


def _item(tree: CaptionTree, path: SegmentPath, fps: float | None) -> dict[str, Any]:
    start, end = tree.grid.interval(path)
    recipe = tree.made_by.get("frames")
    counts = recipe.get("frames") if isinstance(recipe, Mapping) else None
    count = counts[min(tree.grid.depth - len(path), len(counts) - 1)] if isinstance(counts, list) and counts else 0
    # The released evaluation tells its model a segment's first and last time: without frames, where it begins and ends.
    times = sample_times(start, end, count) if isinstance(count, int) and count > 1 else [start, end]
    last = max(0, int(tree.grid.duration * fps) - 1) if fps else 0
    return {
        "segment_id": tree.grid.index(path) + 1,
        "level": LEVELS[len(path) - 1],
        "caption": tree.captions[path],
        "frame_time": [round(time, 1) for time in times],
        "frame_ids": [min(last, int(time * fps)) for time in times] if fps else [],
    }


def _estimated_duration(levels: list, source: str | Path) -> float:
    last = levels[-1][-1]
    times, numbers = last.get("frame_time") or [], last.get("frame_ids") or []
    if not times or not times[-1] > 0:
        raise InputError(source, "frame_time", times, "give the video's duration: the file does not tell it")
    per_frame = times[-1] / numbers[-1] if numbers and numbers[-1] > 0 else 0.0
    return round(times[-1] + per_frame, 3)


def _same(first: CaptionTree, second: CaptionTree) -> bool:
    return first.to_dict() == second.to_dict()
