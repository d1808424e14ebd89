"""One episode of a teacher: a policy with a private transcript, in which malformed replies and hints stay."""

from enum import StrEnum
from typing import Any

from data_gen.teacher import prompt
from data_gen.teacher.prompt import CORRECTION, tool_reply
from data_gen.teacher.settings import HintSettings, TeacherSettings
from longvideo_r1.turns import Turn, read_turn
from navigation import Policy, Question, Reply, Status, Task, Trajectory, answer_message, assistant_message
from navigation.grid import TimeGrid, format_path
from rewards.answer import Judge, Verdict, judged
from runtime import EndpointFailed, Filtered, OutOfContext, Usage
from runtime.paid_calls import CallCache, Fingerprint


class TerminationReason(StrEnum):
    """Why an episode ended. Each is counted apart."""

    RIGHT = "right"
    """The right answer, perhaps after hints."""
    WRONG = "wrong"
    """A wrong answer after the last hint."""
    UNJUDGED = "unjudged"
    """An answer in words of which the judge could not tell whether it is right."""
    OUT_OF_ROUNDS = "out_of_rounds"
    OUT_OF_TOKENS = "out_of_tokens"
    MALFORMED = "malformed"
    """Too many malformed replies in a row."""
    BUDGET_EXCEEDED = "out_of_money"
    """The episode's own limit on money."""
    FILTERED = "filtered"
    """The provider refused a request or cut a reply for its content."""
    FAILED = "failed"
    """A request failed for good."""


STATUS_OF = {
    TerminationReason.RIGHT: Status.ANSWERED,
    TerminationReason.WRONG: Status.ANSWERED,
    TerminationReason.UNJUDGED: Status.ANSWERED,
    TerminationReason.OUT_OF_ROUNDS: Status.OUT_OF_TURNS,
    TerminationReason.OUT_OF_TOKENS: Status.OUT_OF_TOKENS,
    TerminationReason.MALFORMED: Status.UNPARSABLE,
    TerminationReason.BUDGET_EXCEEDED: Status.FAILED,
    TerminationReason.FILTERED: Status.FILTERED,
    TerminationReason.FAILED: Status.FAILED,
}


def hints(question: Question, grid: TimeGrid, settings: HintSettings) -> list[str]:
    """The hints for a question, in the order in which they are given.

    Every named segment exists: a clue that ends with the video names the last segment, not one after it. A question
    without clue intervals has the last hint only.
    """
    given = []
    if question.clue_intervals:
        for level in range(1, min(grid.depth, settings.levels if settings.levels is not None else grid.depth) + 1):
            named = clue_segments(question, grid, level)[: settings.most_segments]
            given.append(prompt.LOOK.format(segments=_listed(named)))
    if settings.verify:
        if question.clue_intervals:
            named = clue_segments(question, grid, grid.depth)[: settings.most_segments]
            given.append(prompt.VERIFY_ON.format(segments=_listed(named)))
        else:
            given.append(prompt.VERIFY)
    return given


def clue_segments(question: Question, grid: TimeGrid, level: int) -> list[tuple[int, ...]]:
    """Segments of a level that share time with the clue, in time order, each once."""
    found = {path for begin, end in question.clue_intervals for path in grid.overlapping(begin, end, level)}
    return sorted(found)


def hint_message(letter: str, hint: str) -> str:
    """The private message after a wrong answer, a letter or words."""
    return prompt.WRONG.format(letter=letter, hint=hint)


def _listed(paths: list[tuple[int, ...]]) -> str:
    text = prompt.ONE_SEGMENT if len(paths) == 1 else prompt.MANY_SEGMENTS
    return text.format(paths=", ".join(map(format_path, paths)))


class _Ended(Exception):
    """The episode is over before its answer."""


class TeacherEpisode(Policy):
    """The policy of one episode. It knows the truth, as the one who gives hints, and shows none of it.

    The episode loop sees readable calls and the last answer. A malformed reply is answered by a correction, a wrong
    answer by the next hint; both exchanges are in the private transcript only, so they never reach the saved messages.

    Args:
        question: With answer and clue intervals.
        settings: Of the run.
        calls: Who is asked.
        sample: Which of several episodes of the question this is.
        judge: Of answers in words that rules cannot decide; None: those are wrong.
    """

    name = "teacher"

    def __init__(
        self,
        question: Question,
        settings: TeacherSettings,
        calls: CallCache,
        sample: int = 0,
        judge: Judge | None = None,
    ) -> None:
        self.question, self._settings, self.calls, self.sample = question, settings, calls, sample
        self._judge = judge
        self.verdict: Verdict | None = None
        self.termination: TerminationReason | None = None
        self.reason = ""
        self.usage = Usage()
        self.rounds = self.malformed = self.hints_given = self.wrong = self.dropped = 0
        self._in_row = 0
        self._private: list[dict[str, Any]] = []
        self._read = 0
        self._hints: list[str] | None = None
        self._fingerprint = Fingerprint()

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        self._take_in(messages)
        if self._hints is None:
            self._hints = hints(self.question, task.grid, self._settings.hints)
        used = Usage()
        while True:
            step, usage = await self._ask()
            used += usage
            if step is None:
                continue
            if not step.letter:
                message = assistant_message(step.reasoning, calls=[(step.tool, dict(step.arguments or {}))])
                break
            verdict = await self._verdict(step.letter)
            if verdict is not TerminationReason.WRONG or self.hints_given == len(self._hints):
                self.termination = verdict
                message = answer_message(step.reasoning, step.letter)
                break
            self.wrong += 1
            self._say("user", hint_message(step.letter, self._hints[self.hints_given]))
            self.hints_given += 1
        return Reply(message, used.prompt_tokens, used.completion_tokens)

    async def _verdict(self, answer: str) -> TerminationReason:
        """Whether an answer is right, wrong, or nobody can tell.

        Raises:
            RequestFailed: the judge could not be asked: the episode has no outcome.
        """
        if not self.question.is_open:
            return TerminationReason.RIGHT if answer == self.question.answer else TerminationReason.WRONG
        self.verdict = await judged(self.question, answer, self._judge)
        if self.verdict.share is None:
            return TerminationReason.UNJUDGED
        return TerminationReason.RIGHT if self.verdict.right else TerminationReason.WRONG

    def _told(self, text: str) -> str:
        return prompt.in_words(text) if self.question.is_open else text

    async def _ask(self) -> tuple[Turn | None, Usage]:
        """One request; None if its reply was malformed."""
        self._check_limits()
        key = f"{self.question.id}#{self.sample}/{self.rounds}/{self._fingerprint.of(self._private)}"
        try:
            record, usage = await self.calls.chat(
                key, self._private, self._settings.max_tokens, temperature=self._settings.temperature, seed=self.sample
            )
        except EndpointFailed as error:
            self.usage += error.usage
            termination = TerminationReason.FAILED
            if isinstance(error, OutOfContext):
                termination = TerminationReason.OUT_OF_TOKENS
            elif isinstance(error, Filtered):
                termination = TerminationReason.FILTERED
            self._finish(termination, error.reason)
        self.rounds += 1
        self.usage += usage
        cut = record["finish_reason"] == "length"
        step = read_turn(record["content"], len(self.question.options), record["reasoning"], self._settings.tools)
        if isinstance(step, Turn) and not cut:
            self._in_row = 0
            self.dropped += step.dropped
            self._say("assistant", step.text())
            return step, usage
        self.malformed += 1
        self._in_row += 1
        reason = (
            f"it was cut after {self._settings.max_tokens} tokens" if isinstance(step, Turn) or cut else step.reason
        )
        if self._in_row == self._settings.malformed:
            self._finish(
                TerminationReason.MALFORMED, f"{self._in_row} malformed replies in a row, the last one: {reason}"
            )
        # An empty assistant turn is refused by some servers.
        self._say("assistant", record["content"][:4000] or "(empty)")
        self._say("user", self._told(CORRECTION).format(reason=reason))
        return None, usage

    def _check_limits(self) -> None:
        settings = self._settings
        if self.rounds >= settings.rounds:
            self._finish(TerminationReason.OUT_OF_ROUNDS, f"no answer within {settings.rounds} rounds")
        if settings.tokens is not None and self.usage.completion_tokens >= settings.tokens:
            self._finish(TerminationReason.OUT_OF_TOKENS, f"no answer within {settings.tokens} completion tokens")
        if settings.usd is not None and self.usage.usd >= settings.usd:
            self._finish(TerminationReason.BUDGET_EXCEEDED, f"no answer for {settings.usd} USD")

    def _finish(self, termination: TerminationReason, reason: str) -> None:
        self.termination, self.reason = termination, reason
        raise _Ended(reason)

    def _take_in(self, messages: list[dict[str, Any]]) -> None:
        """Adds to the private transcript what the loop added: the prompt at first, then the tools' replies."""
        for message in messages[self._read :]:
            if message["role"] == "system":
                self._say("system", message["content"] + self._told(prompt.protocol(self._settings.tools)))
            elif message["role"] == "user":
                self._say("user", message["content"])
            elif message["role"] == "tool":
                self._say("user", tool_reply(message["content"]))
        self._read = len(messages)

    def _say(self, role: str, content: str) -> None:
        self._private.append({"role": role, "content": content})

    def complete(self, trajectory: Trajectory) -> Trajectory:
        """Adds to the loop's record what only the teacher's side knows."""
        termination = self.termination or TerminationReason.FAILED
        trajectory.status = STATUS_OF[termination]
        trajectory.error = self.reason or trajectory.error
        if self.verdict is not None and trajectory.status is Status.ANSWERED:
            trajectory.verdict, trajectory.correct = self.verdict.to_dict(), self.verdict.right
        trajectory.prompt_tokens, trajectory.completion_tokens = self.usage.prompt_tokens, self.usage.completion_tokens
        # Time spent depends on the machine; without it a resumed run writes what an unbroken one writes.
        trajectory.seconds = 0.0
        trajectory.teacher = {
            "model": self._settings.model,
            "termination": termination.value,
            "hints": self.hints_given,
            "rounds": self.rounds,
            "malformed": self.malformed,
            "wrong_answers": self.wrong,
            "dropped_calls": self.dropped,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "usd": self.usage.usd,
        }
        return trajectory
