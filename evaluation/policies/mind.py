"""The judgement that a search strategy leans on: how promising a text is, and what the answer would be.

A strategy of the literature is a way of moving; who judges in it was a large model. Here the judge is a part of its
own: `LexicalMind` needs no model and is the same for every strategy, so that offline they differ by how they move;
`EndpointMind` asks a language model in the same places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.policies import reader
from evaluation.policies.notes import Note
from evaluation.policies.reader import Verdict
from evaluation.policies.statements import WordWeights, sentences, words_of
from navigation import Task


class Mind(Protocol):
    """Judges texts for one question. `spent` and `account` tell what that took (`Reply` and meter)."""

    async def promise(self, task: Task, notes: Sequence[Note]) -> list[list[float]]:
        """For each note one value in [0, 1] per equal part of its segment: how likely the answer lies there."""
        ...

    async def extract(self, task: Task, notes: Sequence[Note]) -> list[Note]:
        """What of these notes matters to the question."""
        ...

    async def verdict(self, task: Task, notes: Sequence[Note]) -> Verdict:
        """The answer that these notes support, and how firmly."""
        ...

    def spent(self, task: Task) -> tuple[int, int]:
        """Prompt and completion tokens since the last call of this method."""
        ...

    def account(self, trajectory_id: str) -> dict[str, Any] | None:
        """Model calls and USD of a whole episode, once it has ended."""
        ...

    @property
    def settings(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class LexicalMind:
    """Judges by shared words. Deterministic; `seed` settles ties.

    A caption tells what happens in order, so its sentences point at parts of its segment: the promise of a part is that
    of the sentences, each the less the farther its place in the text is from the part's place in time.
    """

    seed: int = 0

    async def promise(self, task: Task, notes: Sequence[Note]) -> list[list[float]]:
        question = words_of(task.question.question)
        options = [words_of(option) for option in task.question.options]
        told = [sentences(note.text) for note in notes]
        weights = WordWeights([reader.Statement(words, 0.0, 0.0) for texts in told for words in texts])
        width = task.grid.width
        values = []
        for texts in told:
            fits = [
                (0.7 * weights.share(question, words) + 0.3 * max(weights.share(option, words) for option in options))
                for words in texts
            ]
            values.append([_seen_from(part, width, fits) for part in range(width)])
        return values

    async def extract(self, task: Task, notes: Sequence[Note]) -> list[Note]:
        return list(notes)

    async def verdict(self, task: Task, notes: Sequence[Note]) -> Verdict:
        return reader.judge(task, notes, self.seed)

    def spent(self, task: Task) -> tuple[int, int]:
        return 0, 0

    def account(self, trajectory_id: str) -> dict[str, Any] | None:
        return None

    @property
    def settings(self) -> dict[str, Any]:
        return {"mind": "lexical"}


def _seen_from(part: int, width: int, fits: Sequence[float]) -> float:
    """The best fit of a text's sentences, each weakened by its distance from the part; 1/2 is lost over the whole."""
    centre = (part + 0.5) / width
    return max(
        (fit * (1 - 0.5 * abs(centre - (place + 0.5) / len(fits))) for place, fit in enumerate(fits)), default=0.0
    )
