"""A question about one video, with options or in words, its ground truth, and which videos are kept from training."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from navigation.answer_text import match
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
    """A question with its lettered options and the right letter, or with accepted answers, and what settles it.

    A question without options is *open*: it is answered in words. One with options and references is asked with its
    options.

    Args:
        id: Unique in its data set, for example `cgbench/14`.
        video_id: Which video it asks about.
        question: The text.
        options: 2 to 26 texts, the first is option A; none for an open question.
        answer: The right letter; empty without options.
        clue_intervals: `(begin, end)` pairs in seconds; empty where the source gives none.
        duration: The video's length in seconds.
        source: The corpus it came from.
        kind: The corpus's own category, for tables by kind.
        references: Accepted answers in words, each right by itself.
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
    references: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], source: str | Path = "question") -> "Question":
        """Reads one record.

        Raises:
            InputError: a missing key, an answer outside the options, neither options nor references, or a bad interval,
                named.
        """
        if not isinstance(row, Mapping):
            raise InputError(source, "question", row, "give a JSON object")
        references = _references(row, source)
        # Tables have every column in every row: an open question's options may be there and empty.
        is_open = bool(references) and not row.get("options")
        for key in ("id", "video_id", "question", *(() if is_open else ("options", "answer")), "duration"):
            if key not in row:
                raise InputError(source, key, None, "every question needs this key")
        for key in ("id", "video_id", "question", *(() if is_open else ("answer",))):
            if not isinstance(row[key], str) or not row[key]:
                raise InputError(source, key, row[key], "give a text that is not empty")
        options, answer = ((), "") if is_open else (row["options"], row["answer"])
        if is_open and row.get("answer"):
            raise InputError(source, "answer", row["answer"], "leave it out: a question without options has references")
        if not is_open:
            _check_options(options, answer, source)
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
            id=row["id"],
            video_id=row["video_id"],
            question=row["question"],
            options=tuple(options),
            answer=answer,
            clue_intervals=tuple(clues),
            duration=float(duration),
            source=row.get("source", ""),
            kind=row.get("kind", ""),
            references=references,
        )

    def to_dict(self) -> dict[str, Any]:
        row = asdict(self)
        row["options"] = list(self.options)
        row["clue_intervals"] = [list(pair) for pair in self.clue_intervals]
        if self.references:
            row["references"] = list(self.references)
        else:
            del row["references"]
        return row

    @property
    def is_open(self) -> bool:
        """Whether it is answered in words."""
        return not self.options

    @property
    def chance(self) -> float:
        """Share of right answers of a guess; 0 for an open question."""
        return 1 / len(self.options) if self.options else 0.0

    @property
    def accepted(self) -> tuple[str, ...]:
        """What is right, in words: the right option's text, or the references."""
        return (self.options[LETTERS.index(self.answer)],) if self.options and self.answer else self.references

    @property
    def right_answer(self) -> str:
        """What a right answer says: the letter, or the first reference."""
        return self.answer or self.references[0]

    @property
    def truth(self) -> str:
        """What is right, for tables and pages: the letter, or the accepted answers."""
        return self.answer or " / ".join(self.references)

    def is_right(self, prediction: str | None) -> bool:
        """Whether a prediction is certainly right: the letter, or words that need no judge."""
        if prediction is None or not self.is_open:
            return prediction is not None and prediction == self.answer
        found = match(prediction, self.references)
        return found is not None and found.right

    @property
    def public(self) -> PublicQuestion:
        return PublicQuestion(self.id, self.video_id, self.question, self.options)


def _references(row: Mapping[str, Any], source: str | Path) -> tuple[str, ...]:
    found = row.get("references")
    if found is None:
        return ()
    if not isinstance(found, (list, tuple)) or not all(isinstance(each, str) and each.strip() for each in found):
        raise InputError(source, "references", found, "give a list of texts that are not empty: the accepted answers")
    return tuple(found)


def _check_options(options: object, answer: str, source: str | Path) -> None:
    if not isinstance(options, (list, tuple)) or not 2 <= len(options) <= len(LETTERS):
        raise InputError(source, "options", options, f"give a list of 2 to {len(LETTERS)} texts")
    if not all(isinstance(option, str) for option in options):
        raise InputError(source, "options", options, "give texts only")
    letters = LETTERS[: len(options)]
    if len(answer) != 1 or answer not in letters:
        raise InputError(source, "answer", answer, f"give one of the letters {letters}")


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
