"""Plays a policy on questions: concurrently, durably, and in the end in one order whatever the order of play."""

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.cost_model import CostModel
from evaluation.journal import Journal
from evaluation.meter import Measures, Meter, cited, evidence, searched_captions
from navigation import (
    EnvironmentFactory,
    InputError,
    Limits,
    Policy,
    Question,
    RequestFailed,
    Status,
    Trajectory,
    run,
)
from rewards import RewardMix
from rewards.answer import RULES, Judge, Verdict, judged, needs_verdict, overlap
from runtime import Progress


async def evaluate(
    policy: Policy,
    questions: Sequence[Question],
    environment_factory: EnvironmentFactory,
    limits: Limits | None = None,
    mix: RewardMix | None = None,
    out: str | Path = "runs/eval",
    concurrency: int = 16,
    samples: int = 1,
    *,
    settings: Mapping[str, Any] | None = None,
    keep_messages: bool = True,
    costs: CostModel | None = None,
    judge: Judge | None = None,
) -> list[Trajectory]:
    """Trajectories of every measured episode, in the order of `questions`, then of samples.

    An episode whose request failed is not measured: it is no trajectory, stands in `out/unmeasured.jsonl` with the
    reason, and is played by the next call. One whose judge could not be asked is not measured either; it is kept in
    `out/unjudged.jsonl`, and the next call asks for its verdict alone.

    Each is appended to `out/trajectories.jsonl` as soon as it is finished: a kill loses what is in flight, and the next
    call with the same settings plays only what is missing.

    Args:
        policy: Who plays.
        questions: Each with an id of its own.
        environment_factory: Whose trees the questions are about.
        limits: Of each episode.
        mix: Scores each episode; its parts and total become `Trajectory.reward`. Default: the default mix.
        out: Folder of results; one policy and one configuration each.
        concurrency: Episodes in flight. Results do not depend on it.
        samples: Attempts at each question.
        settings: What else the results depend on (seed, checkpoint, …); kept in `out/settings.json`.
        keep_messages: Whether the returned trajectories keep their messages; the file always does.
        costs: What the meter reckons with.
        judge: Of answers in words that rules cannot decide; None: those are wrong.

    Raises:
        InputError: doubled question ids, a missing tree, or an `out` that holds results of other settings.
        EvaluationStopped: the policy or the judge says that it cannot go on, or no episode could be measured.
    """
    mix, limits = mix or RewardMix.from_config(None), limits or Limits()
    for name, value in (("concurrency", concurrency), ("samples", samples)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError("evaluate", name, value, "give a whole number of at least 1")
    check_questions(questions, environment_factory)
    order = [f"{question.id}#{sample}" for question in questions for sample in range(samples)]
    journal = Journal(out, keep_messages)
    with journal.open(_settings(policy, questions, limits, mix, samples, settings, judge)):
        jobs = (
            (question, sample)
            for question in questions
            for sample in range(samples)
            if f"{question.id}#{sample}" not in journal.finished
        )
        progress = Progress(policy.name, journal.accuracy, sys.stderr, every=5.0)
        progress.expect(len(order))
        progress.resume(len(journal.finished))
        with progress:
            meter = Meter(costs or CostModel())
            worker = _Worker(policy, environment_factory, limits, mix, journal, progress, meter, judge)
            await _all_or_none([worker.play(jobs) for _ in range(min(concurrency, len(order)))])
        journal.write_unmeasured()
        if policy.stopped:
            raise EvaluationStopped(policy.stopped)
        if judge is not None and judge.stopped:
            raise EvaluationStopped(f"the judge: {judge.stopped}")
        if not journal.finished:
            first = next(iter(journal.unmeasured.values()))
            raise EvaluationStopped(f"no episode was measured: {', '.join(journal.reasons())}; {first}")
        return journal.close_in_order(order)


def check_questions(questions: Sequence[Question], environment_factory: EnvironmentFactory) -> None:
    """Refuses doubled ids and questions whose caption tree is missing, before anything is played."""
    if not questions:
        raise InputError("evaluate", "questions", [], "give at least one question")
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise InputError("questions", "id", question.id, "give each question an id of its own")
        seen.add(question.id)
    trees = environment_factory.trees
    missing = sorted(video_id for video_id in {question.video_id for question in questions} if video_id not in trees)
    if missing:
        hint = f"make its caption tree first ({len(missing)} of the questions' videos have none)"
        raise InputError(trees.folder, "video_id", missing[0], hint)


class EvaluationStopped(Exception):
    """The policy's or the judge's endpoint is down or its money used up. What is finished is kept: call again."""


@dataclass(frozen=True, slots=True)
class _Worker:
    """Plays questions one after another, each worker with an environment of its own."""

    policy: Policy
    factory: EnvironmentFactory
    limits: Limits
    mix: RewardMix
    journal: Journal
    progress: Progress
    meter: Meter
    judge: Judge | None

    async def play(self, jobs: Iterator[tuple[Question, int]]) -> None:
        environment = self.factory()
        for question, sample in jobs:
            if self.policy.stopped or (self.judge is not None and self.judge.stopped):
                # The others end too, each with the request that it is waiting for: those are paid, and are kept.
                return
            name = f"{question.id}#{sample}"
            trajectory = self.journal.unjudged.get(name)
            if trajectory is None:
                try:
                    trajectory = await run(self.policy, environment, question, self.limits, sample)
                except RequestFailed as failure:
                    self.policy.account(name)
                    if not self.policy.stopped:
                        self.journal.unmeasured[name] = getattr(failure, "reason", str(failure))
                    continue
                if self.policy.stopped and trajectory.status is Status.FAILED:
                    continue
                self.score(trajectory, question)
            if needs_verdict(question, trajectory.status, trajectory.prediction):
                try:
                    verdict = await judged(question, str(trajectory.prediction), self.judge)
                except RequestFailed as failure:
                    self.journal.set_aside(trajectory)
                    self.journal.unmeasured[name] = f"no verdict, {getattr(failure, 'reason', failure)}"
                    continue
                self.reward(trajectory, question, verdict)
            self.journal.append(trajectory)
            self.progress.advance()

    def reward(self, trajectory: Trajectory, question: Question, verdict: Verdict) -> None:
        """Writes down a verdict and the reward that follows from it."""
        trajectory.correct = verdict.right
        trajectory.verdict = {**verdict.to_dict(), **overlap(str(trajectory.prediction), question.references)}
        grid = self.factory.trees[question.video_id].grid
        trajectory.reward = self.mix.score(
            question, grid, trajectory.visits, trajectory.status, trajectory.prediction, trajectory.refused,
            lookups=trajectory.lookups, verdict=verdict,
        ).to_dict()  # fmt: skip

    def score(self, trajectory: Trajectory, question: Question) -> None:
        tree = self.factory.trees[question.video_id]
        breakdown = self.mix.score(
            question,
            tree.grid,
            trajectory.visits,
            trajectory.status,
            trajectory.prediction,
            trajectory.refused,
            lookups=trajectory.lookups,
        )
        trajectory.reward = breakdown.to_dict()
        trajectory.teacher = {"model": self.policy.name}
        captions = self.policy.index_captions(question.video_id)
        searched = searched_captions(trajectory, tree, self.factory.search)
        spent = self.policy.account(trajectory.id)
        said = cited(trajectory.messages, tree.grid.duration)
        trajectory.measures = Measures(
            breakdown.tally.cost,
            max(captions or 0, len(searched)) if searched else captions,
            evidence(trajectory.messages, trajectory.visits, tree.grid),
            said[1] if said else None,
            self.meter.read(trajectory, tree, captions or 0, self.policy.reads_overview, spent, searched),
        ).to_dict()


async def _all_or_none(workers: Sequence[Any]) -> None:
    """Waits for all; the first error cancels the others and is raised as it is."""
    tasks = [asyncio.ensure_future(worker) for worker in workers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _settings(
    policy: Policy,
    questions: Sequence[Question],
    limits: Limits,
    mix: RewardMix,
    samples: int,
    more: Mapping[str, Any] | None,
    judge: Judge | None,
) -> dict[str, Any]:
    rows = json.dumps([question.to_dict() for question in questions])
    return {
        "policy": {"name": policy.name, **policy.settings},
        "questions": {
            "count": len(questions),
            "sha256": hashlib.sha256(rows.encode()).hexdigest(),
        },
        "samples": samples,
        "limits": asdict(limits),
        "mix": asdict(mix.settings),
        **judge_settings(questions, judge),
        **(more or {}),
    }


def judge_settings(questions: Sequence[Question], judge: Judge | None) -> dict[str, Any]:
    """`{"judge": …}` where an answer in words is to be judged; nothing for multiple choice."""
    if not any(question.is_open for question in questions):
        return {}
    return {"judge": RULES if judge is None else judge.settings}
