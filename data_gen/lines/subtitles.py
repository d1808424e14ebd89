"""SRT and WebVTT files to timed lines, with a list of what could not be used, and lines to such files."""

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pysubs2

from data_gen.lines.encoding import decode
from data_gen.lines.timed_lines import TimedLines, listed
from navigation import SPEECH, InputError, Line

SUFFIXES = (".srt", ".vtt")
SUBTITLES = "subtitles"
"""Source of their lines."""

_STAMP = r"(-?)\s*(?:(\d{1,3})\s*:\s*)?(\d{1,2})\s*:\s*(\d{1,2})(?:\s*[.,]\s*(\d{1,9})|\s*:\s*(\d{3}))?"
_SPAN = re.compile(rf"\s*{_STAMP}\s*--?>\s*{_STAMP}(?=\s|$)", re.ASCII)
_CLOCK = r"\d\s*:\s*\d"
_LIKE_A_SPAN = re.compile(rf"{_CLOCK}.*-->|-->.*{_CLOCK}|{_CLOCK}.*->.*{_CLOCK}", re.ASCII)
_SRT_TAG = re.compile(r"</?[bius]>|</?font(?:\s[^<>]*)?>|\{\\[^{}]*\}", re.IGNORECASE)
_VTT_TAG = re.compile(
    r"</?(?:[bciu]|ruby|rt|v|lang)(?:\.[^\s<>]*)?>|<(?:v|lang)(?:\.[^\s<>]*)?\s[^<>]*>|<[\d:.]+>|\{\\[^{}]*\}"
)
# pysubs2 takes every row with two time stamps for a cue's times, and `\N` for a line break, but texts hold them too.
_HIDE, _SHOW = str.maketrans(":\\", "\ufdd0\ufdd1"), str.maketrans("\ufdd0\ufdd1", ":\\")


class Cue(NamedTuple):
    """A cue's times in seconds and the rows of its text."""

    start: float
    end: float
    rows: list[str]


def read_subtitles(path: str | Path) -> TimedLines:
    """Lines of an SRT or WebVTT file in time order, one text a cue, without the formats' own tags and entities.

    A cue begins where a row holds its times, whatever blank rows there are. Where cues repeat the rows of the one
    before (rolling captions), each row is told once, from when it first appears.

    Raises:
        InputError: unreadable, no text file, or not one cue in it.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, "subtitles", str(error), "give a readable file") from None
    text, encoding = decode(data, path)
    problems: list[str] = []
    rows = [row.strip() for row in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    cues = _cues(rows, text.lstrip().startswith("WEBVTT"), problems)
    if not cues:
        found = f"no cue: {listed(problems)}" if problems else "no cue"
        raise InputError(path, "subtitles", found, "give an SRT or WebVTT file with time spans and texts")
    cues.sort(key=lambda cue: (cue.start, cue.end))
    return TimedLines(tuple(lines_of(cues)), path, encoding, tuple(problems))


def _cues(rows: Sequence[str], is_vtt: bool, problems: list[str]) -> list[Cue]:
    """Cues with a text and sensible times: written as the standard has them, then read by pysubs2."""
    tag = _VTT_TAG if is_vtt else _SRT_TAG
    standard: list[str] = []
    places: list[int] = []
    for place, below in _blocks(rows, is_vtt):
        written = rows[place]
        match = _SPAN.match(rows[place])
        start, end = (_seconds(*match.groups()[:6]), _seconds(*match.groups()[6:])) if match else (0.0, 0.0)
        if match is None:
            problem = "its times cannot be read"
        elif end < start:
            problem = "it ends before it begins"
        elif end < 0:
            problem = "it lies before 0"
        elif end >= 360_000:
            problem = "it lies after 100 hours"
        else:
            if start < 0:
                problems.append(f"row {place + 1}: it begins before 0 and is read from there: {written}")
            places.append(place)
            times = f"{_srt_stamp(max(0.0, start))} --> {_srt_stamp(end)}"
            standard += [str(len(places)), times, *(row.translate(_HIDE) for row in below), ""]
            continue
        problems.append(f"row {place + 1}: {problem}: {written}")
    # pysubs2 takes a number at a text's end for the next cue's: the last cue needs one too.
    standard.append(str(len(places) + 1))
    found = pysubs2.SSAFile.from_string("\n".join(standard), format_="srt", keep_html_tags=True)
    cues = []
    for place, event in zip(places, found, strict=True):
        texts = (html.unescape(tag.sub("", row.translate(_SHOW))) for row in event.text.split("\\N"))
        shown = [text for text in (" ".join(text.split()) for text in texts) if text]
        if shown:
            cues.append(Cue(event.start / 1000, event.end / 1000, shown))
        else:
            problems.append(f"row {place + 1}: it has no text: {rows[place]}")
    return cues


def _blocks(rows: Sequence[str], is_vtt: bool) -> Iterator[tuple[int, list[str]]]:
    """The place of each row with times, and the rows of text below it: without the next cue's number or name."""
    places = [place for place, row in enumerate(rows) if "->" in row and (_SPAN.match(row) or _LIKE_A_SPAN.search(row))]
    numbered = bool(places) and places[0] > 0 and rows[places[0] - 1].isdigit()
    for number, (place, following) in enumerate(pairwise([*places, len(rows)]), 1):
        below = list(rows[place + 1 : following])
        touching = bool(below and below[-1]) and following < len(rows)
        while below and not below[-1]:
            below.pop()
        apart = len(below) > 1 and not below[-2]
        if below and (
            (numbered and touching and below[-1].isdigit())
            or (numbered and apart and below[-1] == str(number + 1))
            or (is_vtt and touching and apart)
        ):
            below.pop()
        yield place, list(_without_notes(below) if is_vtt else filter(None, below))


def _without_notes(rows: Sequence[str]) -> Iterator[str]:
    """Rows that are no WebVTT comment: that begins with NOTE behind a blank row, and ends with the next."""
    in_note, before = False, "text"
    for row in rows:
        in_note = bool(row) and (in_note or (not before and re.match(r"NOTE(\s|$)", row) is not None))
        if row and not in_note:
            yield row
        before = row


def _seconds(
    sign: str, hours: str | None, minutes: str, seconds: str, fraction: str | None, thousandths: str | None
) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return (-1 if sign else 1) * (whole + float(f"0.{fraction or thousandths or 0}"))


def _srt_stamp(seconds: float) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{thousandths:03}"


def lines_of(cues: Sequence[Cue]) -> Iterator[Line]:
    """A line a cue; where most cues repeat rows of the one before, each cue's new rows only."""
    repeated = [0, *(_repeated(before, cue) for before, cue in pairwise(cues))]
    if sum(map(bool, repeated)) < max(2, len(cues) / 2):
        repeated = [0] * len(cues)
    for cue, count in zip(cues, repeated, strict=True):
        if new := cue.rows[count:]:
            yield Line(cue.start, cue.end, " ".join(new), SPEECH, SUBTITLES)


def _repeated(before: Cue, cue: Cue) -> int:
    """How many of a cue's first rows are the last rows of the cue before, which it follows at once."""
    if cue.start > before.end + 0.1:
        return 0
    most = min(len(before.rows), len(cue.rows))
    return next((count for count in range(most, 0, -1) if before.rows[-count:] == cue.rows[:count]), 0)


_WIDTH = 42
"""Letters of a row, as subtitles usually have them; two rows are shown at once."""


def subtitle_text(records: Iterable[Mapping[str, Any]], form: str) -> str:
    """What is said, as a subtitle file; lines read on screen are left out.

    Args:
        records: Lines as `Line.to_dict` has them, with `words` (`[start, end, text]`) where they are known.
        form: `srt` or `vtt`.
    """
    cues = [cue for record in records if record.get("kind", SPEECH) == SPEECH for cue in _fitting(record)]
    if form == "vtt":
        rows = [
            f"{_stamp(start, '.')} --> {_stamp(end, '.')}\n{_vtt(text, words)}\n" for start, end, text, words in cues
        ]
        return "WEBVTT\n\n" + "\n".join(rows)
    numbered = enumerate(cues, 1)
    return "\n".join(
        f"{number}\n{_stamp(start, ',')} --> {_stamp(end, ',')}\n{_rows(text)}\n"
        for number, (start, end, text, _) in numbered
    )


def _fitting(record: Mapping[str, Any]) -> list[tuple[float, float, str, Sequence[Any]]]:
    """A line as cues that fit two rows, where the times of its words are known."""
    words: Sequence[Any] = record.get("words") or ()
    if not words or len(record["text"]) <= 2 * _WIDTH:
        return [(record["start"], max(record["end"], record["start"] + 0.001), record["text"], words)]
    edges, length = [0], 0
    for place, (_, _, text) in enumerate(words):
        if length + len(text) > 2 * _WIDTH and place > edges[-1]:
            edges.append(place)
            length = 0
        length += len(text) + 1
    parts: list[Sequence[Any]] = [words[first:last] for first, last in pairwise([*edges, len(words)])]
    return [(part[0][0], max(part[-1][1], part[0][0] + 0.001), _joined(part), part) for part in parts]


def _joined(words: Sequence[Any]) -> str:
    return " ".join(text for _, _, text in words)


def _rows(text: str) -> str:
    """A text in one row or two of about equal length."""
    words = text.split()
    if len(text) <= _WIDTH or len(words) < 2:
        return text
    splits = [(" ".join(words[:place]), " ".join(words[place:])) for place in range(1, len(words))]
    first, second = min(splits, key=lambda pair: abs(len(pair[0]) - len(pair[1])))
    return f"{first}\n{second}"


def _vtt(text: str, words: Sequence[Any]) -> str:
    """A cue's text, each word after the first behind its time."""
    if not words:
        return _rows(_escaped(text))
    first, *others = words
    return _escaped(first[2]) + "".join(f" <{_stamp(start, '.')}>{_escaped(word)}" for start, _, word in others)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stamp(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"
