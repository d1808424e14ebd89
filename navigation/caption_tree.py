"""A video's captions on every level, on one time grid, and the folder that trees are kept in."""

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

from navigation.errors import InputError, is_number
from navigation.files import child_path, write_json
from navigation.grid import SegmentPath, TimeGrid

SPEECH, SCREEN, ANNOTATION = "speech", "screen", "annotation"
KINDS = (SPEECH, SCREEN, ANNOTATION)


@dataclass(frozen=True, slots=True)
class Line:
    """A timed text finer than a leaf's caption: what `video_qa` answers from without a video.

    Args:
        start, end: Seconds.
        kind: `speech` (said, or its subtitle), `screen` (read in the picture) or `annotation`; "" if not known.
        source: Who made it: `subtitles`, or a model's name; "" if not known.
        language: As `en`; "" if not known.
    """

    start: float
    end: float
    text: str
    kind: str = ""
    source: str = ""
    language: str = ""

    @property
    def told(self) -> str:
        """The text, with a word before it where it is not what is said or annotated."""
        return f"On screen: {self.text}" if self.kind == SCREEN else self.text

    def to_dict(self) -> dict[str, Any]:
        """Without what is not known."""
        record: dict[str, Any] = {"start": self.start, "end": self.end, "text": self.text}
        return record | {name: value for name in _KNOWN if (value := getattr(self, name))}

    @classmethod
    def from_dict(cls, record: object, source: str | Path, name: str = "line") -> "Line":
        """Reads `{start, end, text}` with `kind`, `source` and `language` where they are known.

        Raises:
            InputError: no object, or a value of the wrong kind in it.
        """
        if not isinstance(record, Mapping):
            raise InputError(source, name, record, "give an object with start, end and text")
        for key in ("start", "end"):
            if not is_number(record.get(key)):
                raise InputError(source, f"{name}.{key}", record.get(key), "give seconds")
        if record["start"] > record["end"]:
            raise InputError(source, f"{name}.end", record["end"], f"give at least its start ({record['start']})")
        for key in ("text", *_KNOWN):
            if not isinstance(record.get(key, None if key == "text" else ""), str):
                raise InputError(source, f"{name}.{key}", record.get(key), "give a text")
        kind = record.get("kind", "")
        if kind and kind not in KINDS:
            raise InputError(source, f"{name}.kind", kind, f"give one of {', '.join(KINDS)}, or leave it out")
        known = [record.get(key, "") for key in _KNOWN]
        return cls(float(record["start"]), float(record["end"]), record["text"], *known)


_KNOWN = ("kind", "source", "language")


@dataclass(frozen=True)
class CaptionTree:
    """Captions by segment path.

    Args:
        video_id: The video the captions describe.
        grid: Where each segment begins and ends.
        captions: One text per segment. On-demand trees may lack some.
        made_by: Provenance: captioner, prompt hash, frames.
        lines: Timed texts that the captions were made from, in time order; may be empty.
    """

    video_id: str
    grid: TimeGrid
    captions: Mapping[SegmentPath, str]
    made_by: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], source: str | Path = "caption tree") -> "CaptionTree":
        """Reads the JSON record of DESIGN: `{video_id, duration, width, depth, segments: [{path, caption, …}]}`.

        Raises:
            InputError: a missing key, a value of the wrong kind, a path outside the grid, or a segment given twice.
        """
        if not isinstance(record, Mapping):
            raise InputError(source, "record", record, "give a JSON object")
        for key in ("video_id", "duration", "width", "depth", "segments"):
            if key not in record:
                raise InputError(source, key, None, "every caption tree needs this key")
        if not isinstance(record["video_id"], str) or not record["video_id"]:
            raise InputError(source, "video_id", record["video_id"], "give a text that is not empty")
        if not isinstance(record["segments"], list):
            raise InputError(source, "segments", record["segments"], "give a list of objects with path and caption")
        made_by = record.get("made_by")
        if made_by is not None and not isinstance(made_by, Mapping):
            raise InputError(source, "made_by", made_by, "give an object, or leave it out")
        try:
            grid = TimeGrid(record["duration"], record["width"], record["depth"])
        except InputError as error:
            raise InputError(source, error.field, error.value, error.hint) from None
        captions: dict[SegmentPath, str] = {}
        for number, segment in enumerate(record["segments"]):
            if not isinstance(segment, Mapping) or not isinstance(segment.get("path"), list):
                raise InputError(source, f"segments[{number}]", segment, "give an object with path and caption")
            path = tuple(segment["path"])
            if not all(type(child) is int for child in path) or not grid.contains(path):
                raise InputError(source, f"segments[{number}].path", segment["path"], "give a path inside the grid")
            if path in captions:
                raise InputError(source, f"segments[{number}].path", segment["path"], "give each segment once")
            if not isinstance(segment.get("caption"), str):
                raise InputError(source, f"segments[{number}].caption", segment.get("caption"), "give a text")
            captions[path] = segment["caption"]
        return cls(record["video_id"], grid, captions, dict(made_by or {}), _read_lines(record.get("lines"), source))

    @classmethod
    def load(cls, path: str | Path) -> "CaptionTree":
        """Reads one tree file; a file that is no JSON is an InputError that names it."""
        try:
            with open(path, encoding="utf-8") as file:
                record = json.load(file)
        except (ValueError, RecursionError) as error:
            raise InputError(path, "file", str(error), "make this tree again: it is not complete JSON") from None
        return cls.from_dict(record, path)

    def to_dict(self) -> dict[str, Any]:
        segments = []
        for path in self.grid.paths():
            if path in self.captions:
                start, end = self.grid.interval(path)
                segments.append({"path": list(path), "start": start, "end": end, "caption": self.captions[path]})
        record: dict[str, Any] = {
            "video_id": self.video_id, "duration": self.grid.duration, "width": self.grid.width,
            "depth": self.grid.depth, "segments": segments, "made_by": dict(self.made_by),
        }  # fmt: skip
        if self.lines:
            record["lines"] = [line.to_dict() for line in self.lines]
        return record

    def missing(self) -> list[SegmentPath]:
        """Segments without a caption, in time order, top level first."""
        return [path for path in self.grid.paths() if path not in self.captions]

    def lines_in(self, path: SegmentPath) -> list[Line]:
        """Lines that share time with a segment, in time order."""
        start, end = self.grid.interval(path)
        return [line for line in self.lines if (line.start < end and line.end > start) or start <= line.start < end]

    @cached_property
    def top_level(self) -> tuple[SegmentPath, ...]:
        return tuple(self.grid.paths(1))


def _read_lines(lines: object, source: str | Path) -> tuple[Line, ...]:
    if lines is None:
        return ()
    if not isinstance(lines, list):
        raise InputError(source, "lines", lines, "give a list of objects with start, end and text")
    return tuple(Line.from_dict(line, source, f"lines[{number}]") for number, line in enumerate(lines))


class TreeStore:
    """Caption trees of a folder by video id: `<folder>/<id>.json`, the most recently used kept in memory.

    Picklable: what is cached stays behind, so that worker processes share the files (and the page cache), not a copy.

    Args:
        folder: Where the trees are.
        capacity: How many opened trees to keep.
    """

    def __init__(self, folder: str | Path, capacity: int = 256) -> None:
        self.folder = Path(folder)
        self.capacity = capacity
        self._opened: OrderedDict[str, CaptionTree] = OrderedDict()
        # Tools run in threads, and an entry may be dropped between being found and being marked as used.
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, self.capacity)

    def path(self, video_id: str) -> Path:
        return child_path(self.folder, video_id, ".json")

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._opened or (bool(video_id) and self.path(video_id).is_file())

    def __getitem__(self, video_id: str) -> CaptionTree:
        """The tree of a video.

        Raises:
            InputError: no such file, or a tree of another video in it.
        """
        with self._lock:
            tree = self._opened.get(video_id)
            if tree is not None:
                self._opened.move_to_end(video_id)
                return tree
        path = self.path(video_id)
        if not path.is_file():
            raise InputError(
                self.folder, "video_id", video_id, f"make its caption tree first: {path.name} is not there"
            )
        tree = CaptionTree.load(path)
        if tree.video_id != video_id:
            raise InputError(path, "video_id", tree.video_id, f"this file should hold the tree of {video_id!r}")
        with self._lock:
            self._opened[video_id] = tree
            while len(self._opened) > self.capacity:
                self._opened.popitem(last=False)
        return tree

    def save(self, tree: CaptionTree) -> None:
        """Writes a tree; it is visible under its name only when complete."""
        write_json(self.path(tree.video_id), tree.to_dict())
        with self._lock:
            self._opened.pop(tree.video_id, None)

    def __iter__(self) -> Iterator[CaptionTree]:
        """Every tree of the folder in the order of its file names, none kept in memory."""
        for path in sorted(self.folder.glob("*.json")):
            yield CaptionTree.load(path)

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob("*.json"))
