"""SRT and WebVTT files to timed lines."""

import html
import re
from pathlib import Path

from data_gen.frames import VIDEO_SUFFIXES
from navigation import InputError, Line

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_SPAN = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_TAG = re.compile(r"<[^<>\n]{1,200}>|\{\\[^{}\n]{0,200}\}")
_LANGUAGE = re.compile(r"(\.[A-Za-z][A-Za-z0-9_-]{1,11}){0,2}")
SUFFIXES = (".srt", ".vtt")


def read_subtitles(path: str | Path) -> list[Line]:
    """Lines of an SRT or WebVTT file in time order: tags and entities taken off, one text a cue.

    Both formats are a time span and the text below it, so one reader serves both (pysrt knows SRT only).

    Raises:
        InputError: unreadable, no text file, or not one cue in it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(path, "subtitles", str(error), "give a readable file") from None
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(path, "subtitles", "binary data", "give an SRT or WebVTT text file")
    lines: list[Line] = []
    for block in re.split(r"\n\s*\n", _decode(data).replace("\r\n", "\n").replace("\r", "\n")):
        rows = block.split("\n")
        for number, row in enumerate(rows):
            match = _SPAN.match(row)
            if match:
                text = " ".join(_TAG.sub("", " ".join(rows[number + 1 :])).split())
                start, end = _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])
                if text and end >= start:
                    lines.append(Line(start, end, html.unescape(text)))
                break
    if not lines:
        raise InputError(path, "subtitles", "no cue", "give an SRT or WebVTT file with time spans and texts")
    return sorted(lines, key=lambda line: (line.start, line.end))


def find_subtitles(video: str | Path) -> Path | None:
    """The subtitle file beside a video: `talk.srt` for `talk.mp4`, or with a language between, `talk.en.srt`.

    `talk.two.srt` is not taken for it where there is a `talk.two.mp4`.
    """
    video = Path(video)
    for suffix in SUFFIXES:
        exact = video.with_name(video.stem + suffix)
        if exact.is_file():
            return exact
    files = [path for path in video.parent.iterdir() if path.stem.startswith(video.stem)]
    of_others = {path.stem for path in files if path.suffix.lower() in VIDEO_SUFFIXES} - {video.stem}
    named = (
        path
        for path in files
        if path.suffix.lower() in SUFFIXES and path.stem not in of_others and path.is_file()
        and _LANGUAGE.fullmatch(path.stem, len(video.stem))
    )  # fmt: skip
    return min(named, default=None)


def _decode(data: bytes) -> str:
    for encoding in ("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace")


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int((fraction or "0").ljust(3, "0")) / 1000
