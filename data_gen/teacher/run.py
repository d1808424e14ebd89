"""Many episodes at once over one endpoint, each finished one in a journal."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TextIO

from data_gen.teacher.episode import TeacherEpisode, TerminationReason
from data_gen.teacher.settings import TeacherSettings
from navigation import (
    ClipAnswerer,
    EnvironmentFactory,
    InputError,
    Limits,
    NavigationEnvironment,
    Question,
    RequestFailed,
    TreeStore,
    run,
)
from rewards.answer import Judge
from runtime import Journal, Progress, Usage
from runtime.paid_calls import CallCache, Stopped


@dataclass(slots=True)
class RunReport:
    """Counts of a teacher run.

    Args:
        trajectories: Trajectories asked for: questions times samples.
        finished: Trajectories that ended, in this run or before.
        terminations: Finished trajectories of this run by why they ended.
        failed: Trajectories that could not end, with the reason; the next run tries them again.
        left: Trajectories not begun or broken off, because the run stopped.
        stopped: Why the run stopped early, or "".
        usage: What this run used.
        earlier: What earlier runs had used.
        reused: Replies taken from the journal.
        seconds: Wall time.
    """

    trajectories: int = 0
    finished: int = 0
    terminations: Counter = field(default_factory=Counter)
    failed: list[dict[str, str]] = field(default_factory=list)
    left: int = 0
    stopped: str = ""
    usage: Usage = field(default_factory=Usage)
    earlier: Usage = field(default_factory=Usage)
    reused: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every trajectory has ended."""
        return self.finished == self.trajectories

    def __add__(self, other: "RunReport") -> "RunReport":
        return RunReport(
            self.trajectories + other.trajectories,
            self.finished + other.finished,
            self.terminations + other.terminations,
            self.failed + other.failed,
            self.left + other.left,
            self.stopped or other.stopped,
            self.usage + other.usage,
            self.earlier + other.earlier,
            self.reused + other.reused,
            max(self.seconds, other.seconds),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "trajectories": self.trajectories,
            "finished": self.finished,
            "terminations": dict(self.terminations),
            "failed": self.failed,
            "left": self.left,
            "stopped": self.stopped,
            "usage": self.usage.to_dict(),
            "earlier": self.earlier.to_dict(),
            "reused": self.reused,
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "RunReport":
        # The version before said walks and ends.
        values = {
            {"walks": "trajectories", "ends": "terminations"}.get(name, name): value for name, value in record.items()
        }
        values["terminations"] = Counter(values["terminations"])
        for name in ("usage", "earlier"):
            values[name] = Usage.from_dict(values[name])
        return cls(**values)

    def lines(self) -> list[str]:
        """The report in words."""
        total = self.usage + self.earlier
        told = [f"{self.finished} of {self.trajectories} trajectories finished"]
        if self.terminations:
            told.append("this run: " + ", ".join(f"{count} {why}" for why, count in self.terminations.most_common()))
        if self.failed:
            reasons = Counter(each["reason"] for each in self.failed).most_common(3)
            told.append(f"{len(self.failed)} failed; most often: " + "; ".join(f"{why} ({n})" for why, n in reasons))
        if self.left:
            told.append(f"{self.left} left; the run stopped: {self.stopped or 'killed'}")
        tokens = total.prompt_tokens + total.completion_tokens
        told.append(f"{total.requests} requests ({self.reused} replies reused), {tokens:,} tokens, {total.money}")
        return told


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and with how much memory; nothing here changes a trajectory.

    Args:
        in_flight: Requests at once; the endpoint's own ceiling.
        trajectories: Episodes under way at once. More than requests, so that the last ones do not leave the
            endpoint idle.
    """

    in_flight: int = 64
    trajectories: int = 256


class TeacherRun:
    """Plays all questions and goes on where an earlier run ended.

    Args:
        trees: Caption trees.
        calls: The endpoint behind its journal.
        trajectories: Journal of finished trajectories, by `question_id#sample`.
        settings: Of the trajectories.
        answerer: Who answers `video_qa`; default: the trees' timed lines.
        pace: Limits.
        stream: Where to show how far it is.
        judge: Of answers in words that rules cannot decide; None: those are wrong.
    """

    def __init__(
        self,
        trees: TreeStore,
        calls: CallCache,
        trajectories: Journal,
        settings: TeacherSettings,
        answerer: ClipAnswerer | None = None,
        pace: Pace | None = None,
        stream: TextIO | None = None,
        judge: Judge | None = None,
    ) -> None:
        self.judge = judge
        self.trees, self.calls, self.trajectories, self.settings = trees, calls, trajectories, settings
        self.pace = pace or Pace()
        self.factory = EnvironmentFactory.of(trees, answerer, settings.tools, settings.search)
        self.report = RunReport()
        self.progress = Progress("trajectories", self._detail, stream)
        # One more than the teacher has: so that it is the teacher who says that its rounds are used up.
        self._limits = Limits(turns=settings.rounds + 1)

    async def run(self, questions: Iterable[Question]) -> RunReport:
        """Plays every question `samples` times; returns when each episode has ended, failed or been left."""
        begun = time.monotonic()
        waiting = []
        for question in questions:
            for sample in range(self.settings.samples):
                self.report.trajectories += 1
                if f"{question.id}#{sample}" not in self.trajectories:
                    waiting.append((question, sample))
        self.report.finished = self.report.trajectories - len(waiting)
        self.progress.expect(self.report.trajectories)
        self.progress.resume(self.report.finished)
        # An episode waits in a thread while its video_qa is answered. The client resolves names in the same pool:
        # were all its threads waiting, no answer could come. Threads are made when they are needed.
        pool = ThreadPoolExecutor(self.pace.trajectories + 8, "tool")
        asyncio.get_running_loop().set_default_executor(pool)
        queue = iter(waiting)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.pace.trajectories, len(waiting))):
                group.create_task(self._work(queue))
        self.report.left = self.report.trajectories - self.report.finished - len(self.report.failed)
        self.report.stopped = self._stopped
        self.report.usage, self.report.earlier = self.calls.usage, self.calls.earlier
        self.report.reused = self.calls.reused
        self.report.seconds = time.monotonic() - begun
        self.progress.close()
        return self.report

    async def _work(self, queue: Iterator[tuple[Question, int]]) -> None:
        environment = self.factory()
        for question, sample in queue:
            if self._stopped:
                return
            await self._play(environment, question, sample)

    async def _play(self, environment: NavigationEnvironment, question: Question, sample: int) -> None:
        episode = TeacherEpisode(question, self.settings, self.calls, sample, self.judge)
        try:
            trajectory = await run(episode, environment, question, self._limits, sample)
        except Stopped:
            return
        except (InputError, RequestFailed, OSError) as error:
            self._fail(question, sample, str(error))
            return
        except Exception as error:  # whoever answers video_qa failed in a way of its own: the other episodes go on
            self._fail(question, sample, f"{type(error).__name__}: {error}")
            return
        if episode.termination is None:
            # The loop's own limits are wider than the teacher's: only an error in the policy leads here.
            raise RuntimeError(f"{trajectory.id}: {trajectory.error or 'the episode ended without a reason'}")
        trajectory = episode.complete(trajectory)
        if episode.termination is TerminationReason.FAILED:
            self._fail(question, sample, episode.reason)
            return
        record = trajectory.to_dict()
        del record["tools"]  # the same in all trajectories; put back when they are written out
        try:
            self.trajectories.append(trajectory.id, record)
        except OSError as error:
            self.calls.stopped = self.calls.stopped or f"the journal cannot be written: {error}"
            return
        self.report.terminations[episode.termination.value] += 1
        self.report.finished += 1
        self.progress.advance()

    @property
    def _stopped(self) -> str:
        judge = "" if self.judge is None else self.judge.stopped
        return self.calls.stopped or (judge and f"the judge: {judge}")

    def _fail(self, question: Question, sample: int, reason: str) -> None:
        self.report.failed.append({"id": f"{question.id}#{sample}", "video_id": question.video_id, "reason": reason})

    def _detail(self) -> str:
        usage = self.calls.usage + self.calls.earlier
        failed = [f"{len(self.report.failed)} failed"] if self.report.failed else []
        tokens = usage.prompt_tokens + usage.completion_tokens
        return ", ".join([*failed, f"{tokens:,} tokens", f"{usage.usd:.4f} USD"])
