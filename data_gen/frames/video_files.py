"""The videos of a folder and their ids, and how long a file says it is."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from navigation import InputError

_KINDS = "3gp avi flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv"
VIDEO_SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split())
"""Names that count as videos in a folder, in lower case."""


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


_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def declared_size(path: str | Path) -> int | None:
    """Bytes that the file should have at least, by its outermost element; None if it does not tell.

    Sources: RFC 8794 (EBML) and RFC 9559 (Matroska); Microsoft's RIFF, whose further parts beyond 1 GB are not looked
    at. Files that were recorded live leave the size open.
    """
    with open(path, "rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF":
        riff_size = int.from_bytes(head[4:8], "little")
        return 8 + riff_size if 0 < riff_size < 0xFFFFFFFF else None
    if head[:4] != _EBML:
        return None
    length, size = _vint(head, 4)
    place = 4 + length + (size or 0)
    if not length or size is None or head[place : place + 4] != _SEGMENT:
        return None
    length, size = _vint(head, place + 4)
    return place + 4 + length + size if length and size is not None else None


def _vint(data: bytes, place: int) -> tuple[int, int | None]:
    """Length and value of an EBML number of variable length; length 0 if there is none, value None if it is open."""
    first = data[place] if place < len(data) else 0
    if not first:
        return 0, None
    length = 9 - first.bit_length()
    bits = 7 * length
    value = int.from_bytes(data[place : place + length], "big") & (1 << bits) - 1
    return length, None if value == (1 << bits) - 1 else value
