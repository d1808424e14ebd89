"""The videos of a folder and their ids."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from data_gen.frames import VIDEO_SUFFIXES
from navigation import InputError


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video and its id: the path below the folder without the suffix, `day1/a.b` for `day1/a.b.mp4`."""

    id: str
    path: Path


def find_videos(folder: str | Path) -> tuple[list[VideoFile], list[tuple[str, str]]]:
    """Videos of a folder and its subfolders (or one video file), by id; and `(id, reason)` of those that are refused.

    Refused are files that would share one id (`a.mp4` and `a.mkv`: one would overwrite the other's tree), names that
    are no valid text and links that lead nowhere. Hidden files and folders do not count.

    Raises:
        InputError: no such folder, or no video in it.
    """
    folder = Path(folder)
    if folder.is_file():
        return [VideoFile(folder.stem, folder)], []
    if not folder.is_dir():
        raise InputError(folder, "videos", "not there", "give a folder with videos")
    by_id: dict[str, list[Path]] = defaultdict(list)
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.suffix.lower() in VIDEO_SUFFIXES and not hidden and not path.is_dir():
            by_id[inside.with_suffix("").as_posix()].append(path)
    if not by_id:
        raise InputError(folder, "videos", "none", f"put videos there: {', '.join(sorted(VIDEO_SUFFIXES))}")
    videos, refused = [], []
    for video_id, paths in sorted(by_id.items()):
        if len(paths) > 1:
            names = " and ".join(sorted(path.name for path in paths))
            refused.append((video_id, f"{names} have one id: rename all but one"))
        elif not video_id.isprintable():
            refused.append((ascii(video_id), f"{paths[0].name!a}: rename it, the name is no printable text"))
        elif not paths[0].is_file():
            refused.append((video_id, f"{paths[0].name} leads to no file: put the video there, or remove the link"))
        else:
            videos.append(VideoFile(video_id, paths[0]))
    return videos, refused
