"""Videos annotated with timed actions: what questions are derived from and captions composed of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from data_gen.corpora.wording import stems
from navigation import Line


@dataclass(frozen=True)
class Action:
    """A timed action.

    Args:
        number: Position in the source; part of question ids.
        start, end: Seconds inside the video.
        text: What is done.
        category: The source's taxonomy label; empty where it has none.
        summary: Undated texts of what the action includes.
        parts: Actions that this one consists of, by start.
    """

    number: int
    start: float
    end: float
    text: str
    category: str = ""
    summary: tuple[str, ...] = ()
    parts: tuple["Action", ...] = ()

    @cached_property
    def stems(self) -> frozenset[str]:
        return stems(self.text)


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video's steps by start, each with its parts, and the goal they serve (`goal_span` in seconds)."""

    video_id: str
    duration: float
    goal: str
    goal_span: tuple[float, float]
    steps: Sequence[Action]

    def lines(self) -> tuple[Line, ...]:
        """Every goal, step and part text with its times, in time order, longer before shorter."""
        found = [Line(*self.goal_span, self.goal)] if self.goal else []
        for step in self.steps:
            found.append(Line(step.start, step.end, step.text))
            found.extend(Line(part.start, part.end, part.text) for part in step.parts)
        return tuple(sorted(found, key=lambda line: (line.start, -line.end)))
