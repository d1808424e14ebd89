"""The judgement that a strategy leans on: how promising a text is, and what the answer would be.

A strategy of the literature is a way of moving; who judges in it was a large model. Here the judge is a part of its
own: `LexicalJudge` needs no model and is the same for every strategy, so that offline they differ by how they move;
`EndpointJudge` asks a language model in the same places.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluation.meter import cited
from evaluation.paid_calls import PaidCalls
from evaluation.policies import reader
from evaluation.policies.notes import Note, WordWeights, sentences, words_of
from evaluation.policies.reader import Verdict
from navigation import LETTERS, Policy, Task, question_text, read_answer
from navigation.answer_text import read_text
from navigation.prompt import caption_line
from runtime import Completion, Unacceptable


class Judge(Protocol):
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
    def stopped(self) -> str:
        """Why nothing more can be judged; empty while it can."""
        ...

    @property
    def settings(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class LexicalJudge:
    """Judges by shared words. Deterministic; `seed` settles ties.

    A caption tells what happens in order, so its sentences point at parts of its segment: the promise of a part is that
    of the sentences, each the less the farther its place in the text is from the part's place in time.
    """

    seed: int = 0

    stopped = ""

    async def promise(self, task: Task, notes: Sequence[Note]) -> list[list[float]]:
        question = words_of(task.question.question)
        options = [words_of(option) for option in task.question.options]
        told = [sentences(note.text) for note in notes]
        weights = WordWeights([reader.Statement(words, 0.0, 0.0) for texts in told for words in texts])
        width = task.grid.width
        values = []
        for texts in told:
            fits = [
                (
                    0.7 * weights.share(question, words)
                    + 0.3 * max((weights.share(option, words) for option in options), default=0.0)
                )
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
        return {"judge": "lexical"}


def _seen_from(part: int, width: int, fits: Sequence[float]) -> float:
    """The best fit of a text's sentences, each weakened by its distance from the part; 1/2 is lost over the whole."""
    centre = (part + 0.5) / width
    return max(
        (fit * (1 - 0.5 * abs(centre - (place + 0.5) / len(fits))) for place, fit in enumerate(fits)), default=0.0
    )


@dataclass(frozen=True, kw_only=True)
class JudgedPolicy(Policy):
    """A rule that moves by itself and leaves the answer to a judge.

    Args:
        seed: Settles ties and random choices, together with the question's id and the sample number.
        judge: Who answers; default: the lexical one, with the same seed.
    """

    seed: int = 0
    judge: Judge = field(default=None, repr=False, compare=False)  # type: ignore[assignment]  # set below

    name = "judged"

    def __post_init__(self) -> None:
        if self.judge is None:
            object.__setattr__(self, "judge", LexicalJudge(self.seed))

    @property
    def stopped(self) -> str:
        """Why nothing more can be judged; empty while it can."""
        return self.judge.stopped

    def account(self, trajectory_id: str) -> dict[str, Any] | None:
        return self.judge.account(trajectory_id)


_NUMBERS = re.compile(r"\[[^\[\]]*\]")
_CONFIDENCE = re.compile(r"<confidence>\s*([01](?:\.\d+)?)\s*</confidence>")

PROMISE = (
    "Each numbered caption below describes one segment of a video, which splits into {width} equal parts in time. "
    "For every caption and part, how likely is it that the answer to the question is found in that part? Reply with "
    "JSON only: a list with one list of {width} numbers from 0 to 1 for each caption."
)
EXTRACT = (
    "From the captions below, write down in at most three sentences what bears on the question, with times. If nothing "
    "does, reply with: nothing."
)
VERDICT = (
    "Answer the question from the captions below. Think first, then end with <answer>LETTER</answer>, with how sure "
    "you are as <confidence>0.00</confidence> from 0 to 1, and with the seconds of the video that show it as "
    "<evidence>BEGIN-END</evidence>."
)


@dataclass(frozen=True)
class EndpointJudge:
    """Judges with a model behind an endpoint. An unreadable rating counts as knowing nothing, 0.5 each.

    Args:
        calls: The endpoint behind its journal.
    """

    calls: PaidCalls

    async def promise(self, task: Task, notes: Sequence[Note]) -> list[list[float]]:
        width = task.grid.width
        said = await self._ask(task, PROMISE.format(width=width), notes)
        return read_table(said, len(notes), width)

    async def extract(self, task: Task, notes: Sequence[Note]) -> list[Note]:
        said = (await self._ask(task, EXTRACT, notes)).strip()
        if not said or said.lower().rstrip(".") == "nothing":
            return []
        return [Note(notes[0].path[:-1] or notes[0].path, notes[0].start, notes[-1].end, said)]

    async def verdict(self, task: Task, notes: Sequence[Note]) -> Verdict:
        options = len(task.question.options)

        def read(said: str) -> str | None:
            return read_answer(said, options) if options else read_text(said, only_tagged=True)

        def readable(completion: Completion) -> None:
            if read(completion.text) is None:
                raise Unacceptable("no answer letter" if options else "no answer")

        order = VERDICT if options else VERDICT.replace("LETTER", "the answer in a few words")
        said = await self._ask(task, order, notes, readable)
        letter = read(said) or LETTERS[0]
        sure = _CONFIDENCE.findall(said)
        found = cited([{"content": said}], task.grid.duration)
        spans = tuple(found[0][:1]) if found else ()
        unread = "<evidence>unreadable</evidence>" if found and not spans else ""
        reasoning = said.partition("<answer>")[0].strip()[:2000]
        return Verdict(letter, min(1.0, float(sure[-1])) if sure else 0.0, reasoning, spans, unread)

    def spent(self, task: Task) -> tuple[int, int]:
        return self.calls.spent(task)

    def account(self, trajectory_id: str) -> dict[str, Any]:
        return self.calls.account(trajectory_id)

    @property
    def stopped(self) -> str:
        return self.calls.stopped

    @property
    def settings(self) -> dict[str, Any]:
        return {"judge": "endpoint", **self.calls.settings}

    async def _ask(self, task: Task, order: str, notes: Sequence[Note], accept: Any = None) -> str:
        lines = [f"{n}. {caption_line(task.grid, note.path, note.text)}" for n, note in enumerate(notes, 1)]
        text = f"{order}\n\n{question_text(task.question)}\n\n" + ("\n".join(lines) or "Nothing was read.")
        # Half a rating, note or verdict is none.
        longest = 4 * self.calls.max_tokens
        record = await self.calls.chat(task, [{"role": "user", "content": text}], accept, longest)
        return str(record["message"].get("content") or "")


def read_table(text: str, rows: int, columns: int) -> list[list[float]]:
    """Rows of numbers in [0, 1] from a reply; a row that is missing or unreadable is 0.5 throughout."""
    table: list[list[float]] = []
    for found in _NUMBERS.findall(text[:60_000])[:rows]:
        try:
            numbers = json.loads(found)
        except ValueError:
            numbers = None
        sound = isinstance(numbers, list) and len(numbers) == columns
        if sound and all(type(number) in (int, float) and 0 <= number <= 1 for number in numbers):
            table.append([float(number) for number in numbers])
        else:
            table.append([0.5] * columns)
    return table + [[0.5] * columns for _ in range(rows - len(table))]
