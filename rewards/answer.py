"""Whether an answer in words is right: rules first, a judge for the rest; word overlap beside it."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from navigation import Question, Status
from navigation.answer_text import match, normal

LABELS = ("right", "partly", "wrong", "cannot_tell")
NO_JUDGE = "rules"
"""Who decided where there is no judge: what no rule finds right is then wrong."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said of an answer, and by whom.

    Attributes:
        label: One of `LABELS`, or `none` where no verdict could be had.
        share: How much of the answer is right: 1, 0, for `partly` between; None where nobody can tell.
        by: The rule (`exact`, `number`, `time`, `yes_no`), `judge`, or `rules` where none fits and no judge is asked.
        votes: What a judge said each time it was asked.
        reason: Why there is no verdict.
    """

    label: str
    share: float | None
    by: str
    votes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def right(self) -> bool:
        return self.label == "right"

    @property
    def agreement(self) -> float | None:
        """Share of the votes that are the verdict's."""
        return self.votes.count(self.label) / len(self.votes) if self.votes else None

    def to_dict(self) -> dict[str, Any]:
        record: dict[str, Any] = {"label": self.label, "share": self.share, "by": self.by}
        if self.votes:
            record["votes"] = list(self.votes)
        return record | ({"reason": self.reason} if self.reason else {})

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Verdict":
        return cls(
            str(record["label"]),
            record["share"],
            str(record["by"]),
            tuple(record.get("votes", ())),
            str(record.get("reason", "")),
        )


RIGHT, WRONG = Verdict("right", 1.0, "exact"), Verdict("wrong", 0.0, NO_JUDGE)


def no_verdict(reason: str) -> Verdict:
    """Stands where a judge could not be asked or not be read: nothing is known of the answer."""
    return Verdict("none", None, "judge", reason=reason)


class Judge(Protocol):
    """Says whether an answer in words is right where rules cannot."""

    async def verdict(self, question: Question, answer: str) -> Verdict:
        """Its verdict.

        Raises:
            RequestFailed: it could not be asked, or what it said not be read: there is no verdict.
        """
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What tells this judge from another: results under two are never mixed."""
        ...

    @property
    def stopped(self) -> str:
        """Why it is asked no more; empty while it is."""
        ...


RULES: dict[str, Any] = {"judge": NO_JUDGE}
"""`Judge.settings` where no judge is given."""


def by_rules(question: Question, answer: str) -> Verdict | None:
    """What needs no judge: an exact match, numbers, times, yes and no; None for the rest."""
    found = match(answer, question.references)
    if found is None:
        return None
    return Verdict("right" if found.right else "wrong", float(found.right), found.rule)


async def judged(question: Question, answer: str, judge: Judge | None = None) -> Verdict:
    """The verdict on an answer to an open question; without a judge, what no rule finds right is wrong.

    Raises:
        RequestFailed: see `Judge.verdict`.
    """
    found = by_rules(question, answer)
    if found is not None:
        return found
    return WRONG if judge is None else await judge.verdict(question, answer)


def needs_verdict(question: Question, status: Status, prediction: str | None) -> bool:
    """Whether an episode ended in words that something must be said of."""
    return question.is_open and status is Status.ANSWERED and prediction is not None


_LONGEST = 500
"""Words of a text that are compared."""


def overlap(answer: str, references: Sequence[str]) -> dict[str, float]:
    """Token F1 (SQuAD) and ROUGE-L of the reference that each fits best, in [0, 1]: for those without a judge.

    ROUGE-L is the F1 of the longest common subsequence of words (Lin 2004). Signs of scripts that are written without
    blanks count as words.
    """
    own = _tokens(answer)
    pairs = [(own, _tokens(reference)) for reference in references]
    f1 = max((_f1(sum((Counter(a) & Counter(b)).values()), a, b) for a, b in pairs), default=0.0)
    rouge = max((_f1(_common(a, b), a, b) for a, b in pairs), default=0.0)
    return {"token_f1": round(f1, 6), "rouge_l": round(rouge, 6)}


def _tokens(text: str) -> list[str]:
    spaced = "".join(f" {sign} " if unicodedata.east_asian_width(sign) == "W" else sign for sign in normal(text))
    return spaced.split()[:_LONGEST]


def _f1(shared: int, one: Sequence[str], other: Sequence[str]) -> float:
    return 2 * shared / (len(one) + len(other)) if shared else 0.0


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, in `len(one) * len(other)` steps."""
    row = [0] * (len(other) + 1)
    for word in one:
        above = 0
        for place, each in enumerate(other, 1):
            before = row[place]
            row[place] = above + 1 if word == each else max(before, row[place - 1])
            above = before
    return row[-1]
