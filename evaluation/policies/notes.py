"""What a policy has read so far, taken back from the transcript."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from navigation import GET_CAPTION, VIDEO_QA, SegmentPath, Task, split_prompt
from navigation.prompt import caption_line
from navigation.tools import parse_path
from navigation.words import words_in


@dataclass(frozen=True, slots=True)
class Note:
    """One text about one segment: its caption, or what `video_qa` said of it. Times in seconds, from the grid."""

    path: SegmentPath
    start: float
    end: float
    text: str


def overview(task: Task) -> list[Note]:
    """The top-level captions that the prompt shows to everyone, in time order."""
    notes: list[Note] = []
    rest, _ = split_prompt(task.messages[-1]["content"])
    for path in reversed(list(task.grid.paths(1))):
        rest, found, text = rest.rpartition("\n" + caption_line(task.grid, path, ""))
        if not found:
            return []
        notes.append(Note(path, *task.grid.interval(path), text))
    return notes[::-1]


def notes_read(task: Task, messages: Sequence[dict[str, Any]]) -> list[Note]:
    """Top-level captions and every tool reply so far that is not a refusal, in the order they were read."""
    notes = overview(task)
    calls: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "assistant":
            calls = list(message.get("tool_calls") or ())
        elif message["role"] == "tool" and calls:
            note = _note(task, calls.pop(0)["function"], message["content"])
            if note is not None:
                notes.append(note)
    return notes


def _note(task: Task, call: dict[str, Any], reply: str) -> Note | None:
    arguments = call.get("arguments")
    path = parse_path(arguments.get("segment")) if isinstance(arguments, dict) else None
    if path is None or not task.grid.contains(path):
        return None
    start, end = task.grid.interval(path)
    if call["name"] == GET_CAPTION:
        header = caption_line(task.grid, path, "")
        return Note(path, start, end, reply.removeprefix(header)) if reply.startswith(header) else None
    if call["name"] == VIDEO_QA and not reply.startswith("Error: "):
        return Note(path, start, end, reply)
    return None


SENTENCE_END = re.compile(r"(?<=[.;!?])\s+|(?<=[。！？；])|\n+")
_SUFFIX = re.compile(r"(?<=\w{3})(?:ing|ed|es|s)$")


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of a caption and the seconds it may lie in."""

    words: frozenset[str]
    start: float
    end: float


def words_of(text: str) -> frozenset[str]:
    """The distinct words of a text, lower case, common English endings cut."""
    return frozenset(_SUFFIX.sub("", word) for word in words_in(text.replace("_", " ")))


@lru_cache(maxsize=65_536)
def sentences(caption: str) -> tuple[frozenset[str], ...]:
    """The word sets of a caption's sentences. Cached: many questions read the same captions."""
    found = (words_of(part) for part in SENTENCE_END.split(caption))
    return tuple(words for words in found if words)


def statements_by_level(notes: Iterable[Note]) -> dict[int, list[Statement]]:
    """Statements in time order for each level read.

    A statement that goes on unchanged in the next segment becomes one, so that "what comes next" means the next other
    thing, and a span is as long as what it describes. Levels stay apart, because a parent repeats its children.
    """
    levels: dict[int, list[Statement]] = {}
    for note in sorted(set(notes), key=lambda note: (note.start, note.path, note.text)):
        sequence = levels.setdefault(len(note.path), [])
        for words in sentences(note.text):
            if sequence and sequence[-1].words == words and sequence[-1].end >= note.start:
                sequence[-1] = Statement(words, sequence[-1].start, max(sequence[-1].end, note.end))
            else:
                sequence.append(Statement(words, note.start, note.end))
    return {level: sequence for level, sequence in levels.items() if sequence}


class WordWeights:
    """Inverse document frequency over the statements read: `log(1 + n / df)`, unseen words as if seen once."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self._count = max(1, len(statements))
        self._seen = Counter(word for statement in statements for word in statement.words)

    def total(self, words: Iterable[str]) -> float:
        return math.fsum(sorted(math.log(1 + self._count / max(1, self._seen[word])) for word in words))

    def share(self, wanted: frozenset[str], found: frozenset[str]) -> float:
        """How much of the weight of `wanted` is in `found`, in [0, 1]."""
        common = wanted & found
        return self.total(common) / self.total(wanted) if common else 0.0
