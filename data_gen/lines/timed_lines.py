"""A video's timed texts with where they come from, and what in them could not be used."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from navigation import InputError, Line
from navigation.grid import clock

_LISTED = 20
"""Most problems that a warning lists."""


@dataclass(frozen=True, slots=True)
class TimedLines:
    """A video's timed texts and where they come from.

    Args:
        lines: In time order.
        source: Their file.
        encoding: Of the file.
        problems: Texts that are left out, or that were read otherwise than they are written: a text each.
        read: What was read, in words: `talk.en.srt (en)`.
        notes: What else should be said: a choice among several, a track that cannot be read.
    """

    lines: tuple[Line, ...] = ()
    source: Path | None = None
    encoding: str = "utf-8"
    problems: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def within(self, duration: float) -> "TimedLines":
        """The lines that do not begin after the end of a video of `duration` seconds; the others become problems.

        Raises:
            InputError: there are lines, and all begin after the end.
        """
        late = [line for line in self.lines if line.start > duration]
        if late and len(late) == len(self.lines):
            found = f"{len(late)} of {len(late)} begin after the video's end at {clock(duration)}"
            raise InputError(self.source or "lines", "times", found, _offset_hint(late, duration))
        problems = [f"{clock(line.start)} is after the video's end: {line.text}" for line in late]
        kept = tuple(line for line in self.lines if line.start <= duration)
        return replace(self, lines=kept, problems=(*self.problems, *problems))

    def warnings(self) -> list[str]:
        """What a report should say: choices, the encoding if it was guessed, and the problems, counted and listed."""
        name = self.source.name if self.source else "lines"
        found = list(self.notes)
        if not self.encoding.startswith("utf"):
            found.append(f"{name} does not say its encoding: read as {self.encoding}")
        if self.problems:
            found.append(f"{name}: {len(self.problems)} of its texts left out or changed: {listed(self.problems)}")
        return found


def together(parts: Iterable[TimedLines]) -> TimedLines:
    """Lines of several sources as one, in time order."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    lines = sorted((line for part in parts for line in part.lines), key=lambda line: (line.start, line.end))
    named = [replace(part, notes=tuple(part.warnings()), problems=(), encoding="utf-8") for part in parts]
    return TimedLines(
        tuple(lines),
        next((part.source for part in parts if part.source), None),
        read=tuple(text for part in named for text in part.read),
        notes=tuple(text for part in named for text in part.notes),
    )


def listed(texts: Sequence[str]) -> str:
    """The first of many texts, and how many more there are."""
    more = [f"and {len(texts) - _LISTED} more"] if len(texts) > _LISTED else []
    return "; ".join([*texts[:_LISTED], *more])


def count_of(texts: Iterable[str]) -> str:
    """Equal texts with their counts, most frequent first: `3 en, 1 de`."""
    return ", ".join(f"{count} {text}" for text, count in Counter(texts).most_common())


def _offset_hint(lines: Sequence[Line], duration: float) -> str:
    first, last = min(line.start for line in lines), max(line.end for line in lines)
    for offset in (first // 3600 * 3600, first):
        if last - offset <= duration + 1:
            return f"their clock starts at {clock(offset)}: take {offset:g} s off every time, then all of them fit"
    return f"give this video's own: they go on for {clock(last - first)}"
