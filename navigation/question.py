"""A multiple-choice question about one video, with its ground truth, and which videos are kept from training."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from navigation.errors import InputError, is_number
from navigation.files import read_jsonl

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class PublicQuestion:
    """What a policy may see of a question: nothing here depends on the answer or on the clue intervals."""

    id: str
    video_id: str
    question: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its lettered options, the right letter, and the seconds that settle it.

    Args:
        id: Unique in its data set, for example `cgbench/14`.
        video_id: Which video it asks about.
        question: The text.
        options: 2 to 26 texts; the first is option A.
        answer: The right letter.
        clue_intervals: `(begin, end)` pairs in seconds; empty where the source gives none.
        duration: The video's length in seconds.
        source: The corpus it came from.
        kind: The corpus's own category, for tables by kind.
    """

    id: str
    video_id: str
    question: str
    options: tuple[str, ...]
    answer: str
    clue_intervals: tuple[tuple[float, float], ...] = ()
    duration: float = 0.0
    source: str = ""
    kind: str = ""

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], source: str | Path = "question") -> "Question":
        """Reads one record.

        Raises:
            InputError: a missing key, an answer outside the options, or a bad interval, named.
        """
        if not isinstance(row, Mapping):
            raise InputError(source, "question", row, "give a JSON object")
        for key in ("id", "video_id", "question", "options", "answer", "duration"):
            if key not in row:
                raise InputError(source, key, None, "every question needs this key")
        for key in ("id", "video_id", "question", "answer"):
            if not isinstance(row[key], str) or not row[key]:
                raise InputError(source, key, row[key], "give a text that is not empty")
        options = row["options"]
        if not isinstance(options, (list, tuple)) or not 2 <= len(options) <= len(LETTERS):
            raise InputError(source, "options", options, f"give a list of 2 to {len(LETTERS)} texts")
        if not all(isinstance(option, str) for option in options):
            raise InputError(source, "options", options, "give texts only")
        letters = LETTERS[: len(options)]
        if len(row["answer"]) != 1 or row["answer"] not in letters:
            raise InputError(source, "answer", row["answer"], f"give one of the letters {letters}")
        duration = row["duration"]
        if not is_number(duration) or duration <= 0:
            raise InputError(source, "duration", duration, "give the video's length in seconds, above 0")
        clues = []
        pairs = row.get("clue_intervals")
        if pairs is not None and not isinstance(pairs, (list, tuple)):
            raise InputError(source, "clue_intervals", pairs, "give a list of [begin, end] pairs in seconds")
        for pair in pairs or ():
            if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(map(is_number, pair)):
                raise InputError(source, "clue_intervals", pair, "give pairs of seconds: [begin, end]")
            begin, end = float(pair[0]), float(pair[1])
            if not 0 <= begin <= end <= duration:
                raise InputError(source, "clue_intervals", pair, f"give 0 <= begin <= end <= duration ({duration})")
            clues.append((begin, end))
        for key in ("source", "kind"):
            if not isinstance(row.get(key, ""), str):
                raise InputError(source, key, row[key], "give a text, or leave it out")
        return cls(
            id=row["id"], video_id=row["video_id"], question=row["question"], options=tuple(options),
            answer=row["answer"], clue_intervals=tuple(clues), duration=float(duration),
            source=row.get("source", ""), kind=row.get("kind", ""),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        row = asdict(self)
        row["options"] = list(self.options)
        row["clue_intervals"] = [list(pair) for pair in self.clue_intervals]
        return row

    @property
    def public(self) -> PublicQuestion:
        return PublicQuestion(self.id, self.video_id, self.question, self.options)


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A source row that could not become a record, and why.

    `reason` is a short fixed phrase, so that it can be counted.
    """

    id: str
    reason: str
    detail: str = ""
    row: Any = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "reason": self.reason, "detail": self.detail}


def read_questions(path: str | Path) -> Iterator[Question]:
    """Reads a JSONL file of questions, one at a time.

    Raises:
        InputError: with the file and line number.
    """
    for source, row in read_jsonl(path):
        yield Question.from_dict(row, source)


def first_by_hash(ids: Sequence[str], count: int | None) -> list[int]:
    """Places of at most `count` ids, in their order, chosen by a hash: the same ids whatever order a file has."""
    if count is None or count >= len(ids):
        return list(range(len(ids)))
    order = sorted(range(len(ids)), key=lambda place: hashlib.sha256(ids[place].encode()).digest())
    return sorted(order[:count])


def held_out(video_id: str, share: float) -> bool:
    """Whether a video belongs to the held-out part: decided by its id alone, so that every stage and run agrees.

    Args:
        share: Share of videos to hold out, 0 to below 1.
    """
    digest = hashlib.sha256(f"held out: {video_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) < share * 2**64
