"""The teacher's run as a datatrove step: every rank walks its share of the questions."""

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from data_gen.clips import ClipEndpointAnswerer, clip_settings
from data_gen.clips.service import accept_text
from data_gen.teacher.calls import CallCache
from data_gen.teacher.report_counts import RunReport
from data_gen.teacher.run import Pace, TeacherRun
from data_gen.teacher.settings import TeacherSettings
from navigation import Question, TreeStore, read_questions, write_json
from runtime import Budget, Endpoint, EndpointSettings, Journal, PriceTable, RunLock, stop_when_orphaned
from runtime.budget import PRICES


@dataclass(frozen=True, slots=True)
class TeacherJob:
    """All that a rank needs to know; picklable. The key stays in the environment.

    Args:
        out: Folder with `questions.jsonl` and `trees/`; `trajectories.jsonl` and `failed.jsonl` are written there.
        settings: Of the walks.
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
    """Rank `r` walks the questions whose hash falls to it and leaves a report in its folder."""

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
            # Walks over one video together: its tree is opened once.
            questions.sort(key=lambda question: (question.video_id, question.id))
            report = asyncio.run(teach(self.job, questions, rank, quiet=self.quiet or rank > 0))
            write_json(folder / "report.json", report.to_dict())


def rank_of(question: Question, world_size: int) -> int:
    """The rank that walks a question: by its id alone, so that added questions move no others."""
    digest = hashlib.sha256(question.id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % world_size


async def teach(job: TeacherJob, questions: list[Question], rank: int = 0, quiet: bool = False) -> RunReport:
    """Walks questions in this process, with one rank's share of the requests in flight and of the money."""
    share, folder, settings = job.tasks, job.rank_folder(rank), job.to_dict()
    in_flight = max(1, job.pace.in_flight // share)
    pace = replace(job.pace, in_flight=in_flight, walks=max(1, job.pace.walks // share))
    budget = Budget(None if job.max_usd is None else job.max_usd / share)
    prices = PriceTable(job.prices)
    async with AsyncExitStack() as stack:
        calls_journal = stack.enter_context(Journal(folder / "calls.jsonl", settings))
        walks = stack.enter_context(Journal(folder / "walks.jsonl", settings))
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
        report = await TeacherRun(trees, calls, walks, job.settings, answerer, pace, stream).run(questions)
        if answerer is not None:
            report.usage += clip_calls.usage
            report.earlier += clip_calls.earlier
        return report


def _asker(calls: CallCache, max_tokens: int) -> Callable[..., Awaitable[str]]:
    async def ask(key: str, make_messages: Callable[[], Awaitable[list[dict[str, Any]]]]) -> str:
        record, _ = await calls.chat_lazily(key, make_messages, max_tokens, accept_text, temperature=0.0)
        return record["content"].strip()

    return ask
