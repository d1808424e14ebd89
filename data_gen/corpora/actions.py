"""Videos annotated with timed actions, and the road from them to a corpus."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from navigation import ANNOTATION, Line

_WORD = re.compile(r"\w+")
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an the and or of to in on into onto from with by for at it its his her their them this that some more up
        down out off over is are be then using use uses again""",
    )
)
_ENDINGS = ("ings", "ing", "ies", "es", "ed", "s", "e", "y")


@lru_cache(maxsize=65536)
def stems(text: str) -> frozenset[str]:
    """Content words without case, number and tense: `Slices the oranges.` and `slicing orange` give the same set."""
    words = _WORD.findall(text.casefold())
    content = [word for word in words if word not in _EMPTY_WORDS] or words or [text]
    return frozenset(map(_stem, content))


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    # cutting -> cutt -> cut
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou" else word


def similar(first: frozenset[str], second: frozenset[str]) -> bool:
    """Whether one says the other, or nearly: contained, or at least 0.6 of the words shared (Jaccard)."""
    common = len(first & second)
    return common == min(len(first), len(second)) or common >= 0.6 * len(first | second)


def word_count(text: str) -> int:
    return len(text.split())


def sentence(text: str) -> str:
    """The text with a capital first letter and a full stop."""
    text = text.rstrip(" .;,`")
    return text[:1].upper() + text[1:] + ("" if text.endswith(("!", "?")) else ".")


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
        found = [Line(*self.goal_span, self.goal, ANNOTATION)] if self.goal else []
        for step in self.steps:
            found.append(Line(step.start, step.end, step.text, ANNOTATION))
            found.extend(Line(part.start, part.end, part.text, ANNOTATION) for part in step.parts)
        return tuple(sorted(found, key=lambda line: (line.start, -line.end)))
