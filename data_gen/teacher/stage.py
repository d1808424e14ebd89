"""A teacher run from its start to `trajectories.jsonl`: ranks play shares of the questions, on any executor."""

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from data_gen.clips import ClipEndpointAnswerer, accept_text, clip_settings
from data_gen.teacher.run import Pace, RunReport, TeacherRun
from data_gen.teacher.settings import TeacherSettings
from navigation import TOOLS, InputError, Question, TreeStore, read_questions, write_json
from runtime import (
    Budget,
    Endpoint,
    EndpointSettings,
    Journal,
    PriceTable,
    RunLock,
    differences,
    executor_logs,
    run_step,
    stop_when_orphaned,
)
from runtime.budget import PRICES
from runtime.jsonl import write_lines
from runtime.paid_calls import CallCache


@dataclass(frozen=True, slots=True)
class TeacherJob:
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

    @property
    def run_folder(self) -> Path:
        return self.out / ".run" / "teacher"

    def rank_folder(self, rank: int) -> Path:
        return self.run_folder / f"rank-{rank:05d}"

    def to_dict(self) -> dict[str, Any]:
        """What must be equal when a run goes on."""
        record = {"teacher": self.settings.to_dict(), "tasks": self.tasks}
        if self.settings.clip_model:
            record["clips"] = clip_settings(self.settings.clip_model)
        return record


class TeacherStep(PipelineStep):
    """Rank `r` trajectories the questions whose hash falls to it and leaves a report in its folder."""

    name = "Teacher"
    type = "Teacher"

    def __init__(self, job: TeacherJob, quiet: bool = False) -> None:
        super().__init__()
        self.job = job
        self.quiet = quiet

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        stop_when_orphaned()
        folder = self.job.rank_folder(rank)
        with RunLock(folder / "lock", f"rank {rank}"):
            questions = [q for q in read_questions(self.job.out / "questions.jsonl") if rank_of(q, world_size) == rank]
            # Trajectories over one video together: its tree is opened once.
            questions.sort(key=lambda question: (question.video_id, question.id))
            report = asyncio.run(teach(self.job, questions, rank, quiet=self.quiet or rank > 0))
            write_json(folder / "report.json", report.to_dict())


def rank_of(question: Question, world_size: int) -> int:
    """The rank that navigates a question: by its id alone, so that added questions move no others."""
    digest = hashlib.sha256(question.id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % world_size


async def teach(job: TeacherJob, questions: list[Question], rank: int = 0, quiet: bool = False) -> RunReport:
    """Trajectories questions in this process, with one rank's share of the requests in flight and of the money."""
    share, folder, settings = job.tasks, job.rank_folder(rank), job.to_dict()
    in_flight = max(1, job.pace.in_flight // share)
    pace = replace(job.pace, in_flight=in_flight, trajectories=max(1, job.pace.trajectories // share))
    budget = Budget(None if job.max_usd is None else job.max_usd / share)
    prices = PriceTable(job.prices)
    async with AsyncExitStack() as stack:
        calls_journal = stack.enter_context(Journal(folder / "calls.jsonl", settings))
        trajectories = stack.enter_context(Journal(folder / "trajectories.jsonl", settings))
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
        trees = TreeStore(job.out / "trees")
        stream = None if quiet else sys.stderr
        report = await TeacherRun(trees, calls, trajectories, job.settings, answerer, pace, stream).run(questions)
        if answerer is not None:
            report.usage += clip_calls.usage
            report.earlier += clip_calls.earlier
        return report


def _asker(calls: CallCache, max_tokens: int) -> Callable[..., Awaitable[str]]:
    async def ask(key: str, make_messages: Callable[[], Awaitable[list[dict[str, Any]]]]) -> str:
        record, _ = await calls.chat_lazily(key, make_messages, max_tokens, accept_text, temperature=0.0)
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


def teach_questions(job: TeacherJob, executor: str = "local", quiet: bool = False, **options: Any) -> RunReport:
    """Trajectories the questions of `job.out` and writes `trajectories.jsonl`, `failed.jsonl` and `teacher.json` there.

    Run again with the same settings it goes on where it ended. On Slurm it submits the ranks and returns at once; call
    `collect` later.

    Args:
        options: Of the executor, see `data_gen.durable.make_executor`.

    Raises:
        InputError: another run is at work in `out`; `out` was begun with other settings (the message lists the
            differences) or its questions or trees have changed since; no questions or trees.
    """
    begun = time.monotonic()
    for name, hint in (("questions.jsonl", "write the corpus there first"), ("trees", "write the trees there first")):
        if not (job.out / name).exists():
            raise InputError(job.out, "folder", f"no {name}", f"{hint}, for example with `clipscout questions`")
    settings = job.to_dict()
    with RunLock(job.run_folder / "lock", "teacher run"):
        _keep_settings(job, settings)
        questions = read_questions(job.out / "questions.jsonl")
        keep_corpus(job.run_folder / "corpus.json", job.out, questions, TreeStore(job.out / "trees"))
        for rank in range(job.tasks):
            (job.rank_folder(rank) / "report.json").unlink(missing_ok=True)
        run_step(executor, TeacherStep(job, quiet), job.tasks, executor_logs(job.out, settings), **options)
        if executor == "slurm":
            return RunReport()
        report = _collect(job)
        report.seconds = time.monotonic() - begun
        return report


def teach_share(job: TeacherJob, rank: int, quiet: bool = False) -> RunReport:
    """Trajectories one rank's share in this process, for schedulers that start the ranks themselves, as Slurm arrays
    do.

    Ranks may run at the same time; a rank that runs twice at once is refused. `collect` writes the trajectories of all
    out.

    Raises:
        InputError: no such rank, this rank is at work already, other settings, no questions or trees.
    """
    if not 0 <= rank < job.tasks:
        hint = f"give a rank from 0 to {job.tasks - 1}, as there are {job.tasks} tasks"
        raise InputError("teacher", "rank", rank, hint)
    _check_folder(job)
    _keep_settings(job, job.to_dict())
    TeacherStep(job, quiet).run(None, rank, job.tasks)
    return RunReport.from_dict(json.loads((job.rank_folder(rank) / "report.json").read_text(encoding="utf-8")))


def _check_folder(job: TeacherJob) -> None:
    for name, hint in (("questions.jsonl", "write the corpus there first"), ("trees", "write the trees there first")):
        if not (job.out / name).exists():
            raise InputError(job.out, "folder", f"no {name}", f"{hint}, for example with `clipscout questions`")


def collect(job: TeacherJob) -> RunReport:
    """Writes the finished trajectories of all ranks out and says what is there and what is missing."""
    with RunLock(job.run_folder / "lock", "teacher run"):
        _keep_settings(job, job.to_dict())
        return _collect(job)


def _collect(job: TeacherJob) -> RunReport:
    report = RunReport()
    for rank in range(job.tasks):
        path = job.rank_folder(rank) / "report.json"
        if path.is_file():
            report += RunReport.from_dict(json.loads(path.read_text(encoding="utf-8")))
    questions = [question.id for question in read_questions(job.out / "questions.jsonl")]
    report.trajectories = len(questions) * job.settings.samples
    with ExitStack() as stack:
        journals = [
            stack.enter_context(Journal(job.rank_folder(rank) / "trajectories.jsonl", job.to_dict()))
            for rank in range(job.tasks)
        ]
        places = {key: journal for journal in journals for key in journal}
        names = [f"{question}#{sample}" for question in questions for sample in range(job.settings.samples)]
        report.finished = write_lines(job.out / "trajectories.jsonl", _records(names, places))
    known = {each["id"] for each in report.failed}
    left = [
        {"id": name, "reason": report.stopped or "no rank has finished it"}
        for name in names
        if name not in places and name not in known
    ]
    report.left = len(left)
    write_lines(job.out / "failed.jsonl", [*report.failed, *left])
    write_json(job.out / "teacher.json", {"settings": job.to_dict(), "report": report.to_dict()})
    return report


def _records(names: list[str], places: dict[str, Journal]) -> Iterator[dict[str, Any]]:
    """Finished trajectories in the questions' order, each once."""
    for name in names:
        if name in places:
            yield {**places[name][name], "tools": TOOLS}


def _keep_settings(job: TeacherJob, settings: dict[str, Any]) -> None:
    path = job.run_folder / "settings.json"
    settings = json.loads(json.dumps(settings))
    if not path.is_file():
        write_json(path, settings)
        return
    changed = differences(json.loads(path.read_text(encoding="utf-8")), settings)
    if changed:
        hint = "go on with the settings it was begun with, or write to another folder. " + "; ".join(changed)
        raise InputError(job.out, "settings", f"{len(changed)} changed", hint)
