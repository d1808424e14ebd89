"""A teacher run from its start to `trajectories.jsonl`: ranks play shares of the questions, on any executor."""

import asyncio
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_gen.clips import MORE_ROOM, ClipEndpointAnswerer, accept_text, clip_settings
from data_gen.teacher.run import Pace, RunReport, TeacherRun
from data_gen.teacher.settings import TeacherSettings
from navigation import InputError, Question, TreeStore, read_questions, tool_schemas, write_json, write_jsonl
from rewards.judge import JudgeSettings, ModelJudge
from runtime import (
    Budget,
    Endpoint,
    EndpointSettings,
    Journal,
    PriceTable,
)
from runtime.budget import PRICES
from runtime.fingerprint import OTHER_SETTINGS
from runtime.paid_calls import CallCache
from runtime.ranked_run import RankedJob


@dataclass(frozen=True, slots=True)
class TeacherJob(RankedJob[RunReport]):
    """All that a rank needs to know; picklable. The key stays in the environment.

    Args:
        out: Folder with `questions.jsonl` and `trees/`; `trajectories.jsonl` and `failed.jsonl` are written there.
        settings: Of the trajectories.
        endpoint: The teacher. Its `in_flight` is that of the whole run: ranks share it evenly.
        tasks: Ranks the questions are divided among.
        videos: Folder of video files, if `video_qa` is answered from them.
        clip_endpoint: Vision model for `video_qa`.
        prices: Price table.
        max_usd: Limit on money over all runs into `out`; ranks share it evenly.
        pace: Limits of the whole run.
        judge: Of answers in words; ranks share its money evenly.
    """

    out: Path
    settings: TeacherSettings
    endpoint: EndpointSettings
    tasks: int = 1
    videos: Path | None = None
    clip_endpoint: EndpointSettings | None = None
    prices: Path = PRICES
    max_usd: float | None = None
    pace: Pace = field(default_factory=Pace)
    judge: JudgeSettings | None = None

    name = "teacher"
    report_type = RunReport
    other_settings = (
        f"{OTHER_SETTINGS}; `clipscout migrate FOLDER NEW` brings what a former prompt finished to this one"
    )

    @property
    def run_folder(self) -> Path:
        return self.out / ".run" / "teacher"

    def rank_folder(self, rank: int) -> Path:
        return self.run_folder / f"rank-{rank:05d}"

    def to_dict(self) -> dict[str, Any]:
        record = {"teacher": self.settings.to_dict(), "tasks": self.tasks}
        if self.judge is not None:
            record["judge"] = self.judge.to_dict()
        if self.settings.clip_model:
            record["clips"] = clip_settings(self.settings.clip_model)
        return record

    def check_input(self) -> None:
        for name in ("questions.jsonl", "trees"):
            if not (self.out / name).exists():
                hint = "write the corpus there first, for example with `clipscout questions`"
                raise InputError(self.out, "folder", f"no {name}", hint)

    def check_earlier(self) -> None:
        questions = read_questions(self.out / "questions.jsonl")
        keep_corpus(self.run_folder / "corpus.json", self.out, questions, TreeStore(self.out / "trees"))

    async def work(self, rank: int, quiet: bool) -> RunReport:
        """Plays the questions whose hash falls to the rank."""
        questions = [each for each in read_questions(self.out / "questions.jsonl") if rank_of(each, self.tasks) == rank]
        # Episodes over one video together: its tree is opened once.
        questions.sort(key=lambda question: (question.video_id, question.id))
        return await teach(self, questions, rank, quiet)

    def collect(self, reports: Sequence[RunReport]) -> RunReport:
        """Writes `trajectories.jsonl`, `failed.jsonl` and `teacher.json`: all ranks', in the questions' order."""
        report = sum(reports, RunReport())
        questions = [question.id for question in read_questions(self.out / "questions.jsonl")]
        names = [f"{question}#{sample}" for question in questions for sample in range(self.settings.samples)]
        report.trajectories = len(names)
        with ExitStack() as stack:
            journals = [stack.enter_context(trajectory_journal(self, rank)) for rank in range(self.tasks)]
            places = {key: journal for journal in journals for key in journal}
            rows = (
                {**places[name][name], "tools": tool_schemas(self.settings.tools)} for name in names if name in places
            )
            report.finished = write_jsonl(self.out / "trajectories.jsonl", rows)
        known = {each["id"] for each in report.failed}
        reason = report.stopped or "no rank has finished it"
        left = [{"id": name, "reason": reason} for name in names if name not in places and name not in known]
        report.left = len(left)
        write_jsonl(self.out / "failed.jsonl", [*report.failed, *left])
        write_json(self.out / "teacher.json", {"settings": self.to_dict(), "report": report.to_dict()})
        return report


def trajectory_journal(job: TeacherJob, rank: int) -> Journal:
    """A rank's finished trajectories. One of the version before, `walks.jsonl`, takes the new name."""
    path = job.rank_folder(rank) / "trajectories.jsonl"
    old = path.with_name("walks.jsonl")
    if old.exists():
        if path.exists():
            raise InputError(old, "file", "beside trajectories.jsonl", "remove the one of the two that is not wanted")
        Journal(old, job.to_dict()).close()  # one that is refused keeps its name
        old.rename(path)
    return Journal(path, job.to_dict())


def rank_of(question: Question, world_size: int) -> int:
    """The rank that plays a question: by its id alone, so that added questions move no others."""
    digest = hashlib.sha256(question.id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % world_size


async def teach(job: TeacherJob, questions: list[Question], rank: int = 0, quiet: bool = False) -> RunReport:
    """Plays questions in this process, with one rank's share of the requests in flight and of the money."""
    share, folder, settings = job.tasks, job.rank_folder(rank), job.to_dict()
    in_flight = max(1, job.pace.in_flight // share)
    pace = replace(job.pace, in_flight=in_flight, trajectories=max(1, job.pace.trajectories // share))
    budget = Budget(None if job.max_usd is None else job.max_usd / share)
    prices = PriceTable(job.prices)
    async with AsyncExitStack() as stack:
        calls_journal = stack.enter_context(Journal(folder / "calls.jsonl", settings))
        trajectories = stack.enter_context(trajectory_journal(job, rank))
        endpoint = await stack.enter_async_context(Endpoint(replace(job.endpoint, in_flight=in_flight), prices, budget))
        calls = CallCache(endpoint, calls_journal)
        answerer = None
        if job.settings.clip_model and job.clip_endpoint is not None and job.videos is not None:
            clip_endpoint = await stack.enter_async_context(
                Endpoint(replace(job.clip_endpoint, in_flight=in_flight), prices, budget)
            )
            clip_calls = CallCache(clip_endpoint, stack.enter_context(Journal(folder / "clips.jsonl", settings)))
            ask = _asker(clip_calls, job.settings.max_tokens)
            answerer = stack.enter_context(ClipEndpointAnswerer(job.videos, ask, asyncio.get_running_loop()))
        judge = None
        if job.judge is not None:
            usd = None if job.judge.max_usd is None else job.judge.max_usd / share
            judge = await stack.enter_async_context(ModelJudge(replace(job.judge, max_usd=usd), folder / "judge.jsonl"))
        trees = TreeStore(job.out / "trees")
        stream = None if quiet else sys.stderr
        run = TeacherRun(trees, calls, trajectories, job.settings, answerer, pace, stream, judge)
        report = await run.run(questions)
        if judge is not None:
            report.usage += judge.calls.usage
            report.earlier += judge.calls.earlier
        if answerer is not None:
            report.usage += clip_calls.usage
            report.earlier += clip_calls.earlier
        return report


def _asker(calls: CallCache, max_tokens: int) -> Callable[..., Awaitable[str]]:
    async def ask(key: str, make_messages: Callable[[], Awaitable[list[dict[str, Any]]]]) -> str:
        longest = MORE_ROOM * max_tokens
        record, _ = await calls.chat_lazily(
            key, make_messages, max_tokens, accept_text, longest=longest, temperature=0.0
        )
        return record["content"].strip()

    return ask


_NAMED = 5


def keep_corpus(path: Path, folder: Path, questions: Iterable[Question], trees: TreeStore) -> None:
    """Remembers a digest of every question and tree; refuses a corpus in which a remembered one has changed.

    Questions and trees may be added and taken away: the trajectories of the others stay what they are.

    Args:
        path: Where digests are kept between runs.
        folder: For the message.
        questions: Of this run.
        trees: Their caption trees; missing ones are left out.

    Raises:
        InputError: a question or tree differs from the one of an earlier run; the message names the first ones.
    """
    now: dict[str, dict[str, str]] = {"questions": {}, "trees": {}}
    for question in questions:
        now["questions"][question.id] = _digest(json.dumps(question.to_dict(), sort_keys=True).encode())
        if question.video_id not in now["trees"] and question.video_id in trees:
            now["trees"][question.video_id] = _digest(trees.path(question.video_id).read_bytes())
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"questions": {}, "trees": {}}
    for kind, digests in now.items():
        changed = [name for name, digest in digests.items() if before[kind].get(name, digest) != digest]
        if changed:
            named = ", ".join(changed[:_NAMED]) + (", …" if len(changed) > _NAMED else "")
            hint = (
                "trajectories were made from others: write the changed corpus to another folder, or delete .run/teacher"
            )
            raise InputError(folder, kind, f"{len(changed)} changed: {named}", hint)
    merged = {kind: before[kind] | now[kind] for kind in now}
    if merged != before:
        write_json(path, merged)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
