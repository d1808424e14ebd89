"""Checked reading of source rows: whatever is wrong with one becomes a counted reason, never a crash."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from navigation import LETTERS, SkippedRow
from navigation.times import read_time

ROUNDING = 1.0
"""Seconds by which a span may pass the video's end: annotation tools and durations are rounded to whole seconds."""

SHORTEST_VIDEO = 1.0


class BadRow(Exception):
    """A row that becomes no record.

    Args:
        reason: A short fixed phrase, so that it can be counted.
        detail: What was found; may differ from row to row.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Skips:
    """Rows that were left out, and the ids that were seen."""

    def __init__(self) -> None:
        self.rows: list[SkippedRow] = []
        self._seen: set[str] = set()

    def add(self, row_id: str, reason: str, detail: str = "") -> None:
        self.rows.append(SkippedRow(_writable(row_id), reason, _writable(detail)))

    @contextmanager
    def reading(self, row_id: str) -> Iterator[None]:
        """Turns a `BadRow` raised inside into a skipped row."""
        try:
            yield
        except BadRow as bad:
            self.add(row_id, bad.reason, bad.detail)

    def once(self, row_id: str) -> None:
        """Refuses an id for the second time; the first row keeps it."""
        if row_id in self._seen:
            raise BadRow("duplicate id", row_id)
        self._seen.add(row_id)


def mapping(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise BadRow("not an object", shown(row))
    return row


def get(row: Mapping[str, Any], key: str) -> Any:
    if key not in row:
        raise BadRow("missing key", key)
    return row[key]


def text(row: Mapping[str, Any], key: str) -> str:
    """A text that is not blank, white space collapsed."""
    return as_text(get(row, key), key)


def optional_text(row: Mapping[str, Any], key: str) -> str:
    """Like `text`, but absent, null and blank are the empty text."""
    value = row.get(key)
    return "" if value is None or (isinstance(value, str) and not value.strip()) else as_text(value, key)


def as_text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise BadRow("wrong type", f"{key} is {shown(value)}, not a text")
    if _writable(value) != value:
        raise BadRow("text is not valid Unicode", f"{key} is {shown(value)}")
    cleaned = " ".join(value.split())
    if not cleaned:
        raise BadRow("empty text", key)
    return cleaned


def identifier(row: Mapping[str, Any], key: str) -> str:
    """An id given as a text or a whole number."""
    value = get(row, key)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    return as_text(value, key)


def items(row: Mapping[str, Any], key: str, optional: bool = False) -> Sequence[Any]:
    value = row.get(key) if optional else get(row, key)
    if value is None and optional:
        return ()
    if not isinstance(value, list):
        raise BadRow("wrong type", f"{key} is {shown(value)}, not a list")
    return value


def number(value: Any, key: str) -> float:
    # An int of hundreds of digits is valid JSON and overflows float().
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and -1e15 < value < 1e15
        and math.isfinite(value)
    ):
        return float(value)
    raise BadRow("wrong type", f"{key} is {shown(value)}, not a finite number")


def seconds(value: Any, key: str) -> float:
    """Seconds given as a number, or as a text in any clock that `navigation.times.read_time` knows."""
    if not isinstance(value, str):
        return number(value, key)
    found = read_time(value)
    if found is None:
        raise BadRow("time not understood", f"{key} is {shown(value)}")
    return found


def duration(row: Mapping[str, Any], key: str) -> float:
    seconds = number(get(row, key), key)
    if seconds < SHORTEST_VIDEO:
        raise BadRow("duration below one second", f"{key} is {seconds}")
    return seconds


def span(begin: Any, end: Any, length: float, key: str) -> tuple[float, float]:
    """A span of time inside `[0, length]`, clipped where it passes an end by rounding (`ROUNDING` seconds at most)."""
    begin, end = number(begin, key), number(end, key)
    if begin >= end:
        raise BadRow("span is empty or backwards", f"{key} is [{begin}, {end}]")
    if begin < -ROUNDING or end > length + ROUNDING or begin >= length or end <= 0:
        raise BadRow("span outside the video", f"{key} is [{begin}, {end}], the video lasts {length} s")
    return max(0.0, begin), min(length, end)


def clues(pairs: Any, length: float) -> tuple[tuple[float, float], ...]:
    """`[[begin, end], …]` in seconds, at least one pair."""
    if not isinstance(pairs, list):
        raise BadRow("wrong type", f"clue intervals are {shown(pairs)}, not a list")
    if not pairs:
        raise BadRow("no clue interval")
    found = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRow("wrong type", f"a clue interval is {shown(pair)}, not [begin, end]")
        found.append(span(pair[0], pair[1], length, "clue interval"))
    return tuple(sorted(found))


def options(values: Sequence[Any]) -> tuple[str, ...]:
    if not 2 <= len(values) <= len(LETTERS):
        raise BadRow("too few or too many options", f"{len(values)} options")
    return tuple(as_text(value, f"option {letter}") for value, letter in zip(values, LETTERS, strict=False))


def letter_of(answer: str, choices: Sequence[str]) -> str:
    """The letter of the one option that is the answer's text.

    One rule for all loaders, whether a source answers with a letter or with a text: a row whose right option stands
    twice is skipped, since two letters would be right and one of them counted wrong; wrong options that are equal stay.
    Options are equal if their texts are, white space evened and letters taken off.
    """
    count = choices.count(answer)
    if count == 0:
        raise BadRow("answer not among the options", shown(answer))
    if count > 1:
        raise BadRow("answer fits two options", shown(answer))
    return LETTERS[choices.index(answer)]


def checked_letter(letter: str, choices: Sequence[str], row_id: str) -> str:
    """A letter that a source gives, if it is one of the options and `letter_of` its text."""
    if len(letter) != 1 or letter not in LETTERS[: len(choices)]:
        raise BadRow("answer not among the options", f"{row_id}: {shown(letter)}")
    return letter_of(choices[LETTERS.index(letter)], choices)


def shown(value: Any) -> str:
    """A value in at most 80 characters, whatever it is."""
    if isinstance(value, (Mapping, list)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        return "a whole number of over 30 digits"
    found = repr(value)
    return found if len(found) <= 80 else found[:77] + "..."


def _writable(value: str) -> str:
    """The text with lone surrogates replaced, which JSON may hold and UTF-8 files may not."""
    return value.encode("utf-8", "replace").decode("utf-8")
