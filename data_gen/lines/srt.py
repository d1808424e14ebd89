"""Lines as subtitle files: SRT, and WebVTT with the times of words."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from navigation import SPEECH

_WIDTH = 42
"""Letters of a row, as subtitles usually have them; two rows are shown at once."""


def subtitle_text(records: Iterable[Mapping[str, Any]], form: str) -> str:
    """What is said, as a subtitle file; lines read on screen are left out.

    Args:
        records: Lines as `Line.to_dict` has them, with `words` (`[start, end, text]`) where they are known.
        form: `srt` or `vtt`.
    """
    cues = [cue for record in records if record.get("kind", SPEECH) == SPEECH for cue in _cues(record)]
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


def _cues(record: Mapping[str, Any]) -> list[tuple[float, float, str, Sequence[Any]]]:
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
