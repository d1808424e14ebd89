"""A run whose units of work are divided among ranks: here, on Slurm or on Ray, ended and gone on with the same way."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from datatrove.pipeline.base import PipelineStep

from navigation import InputError, write_json
from runtime.executors import executor_logs, run_step, stop_when_orphaned
from runtime.fingerprint import OTHER_SETTINGS, keep_settings
from runtime.lock import RunLock


class Report(Protocol):
    """What a rank, or a whole run, did."""

    seconds: float

    def to_dict(self) -> dict[str, Any]: ...

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self: ...


ReportT = TypeVar("ReportT", bound=Report)


class RankedJob(ABC, Generic[ReportT]):
    """All that a rank needs to know of a run; picklable. Keys of endpoints stay in the environment.

    Its folder holds `settings.json`, `lock`, a lock and a report for each rank, and the whole run's `report.json`.
    """

    __slots__ = ()
    name: ClassVar[str]
    other_settings: ClassVar[str] = OTHER_SETTINGS
    """What to do where the run was begun with other settings."""
    out: Path
    tasks: int
    """Ranks the units are divided among."""

    @property
    @abstractmethod
    def run_folder(self) -> Path:
        """Where the run keeps what it needs to go on."""

    @property
    @abstractmethod
    def report_type(self) -> type[ReportT]: ...

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """What must be equal when the run goes on."""

    @abstractmethod
    def check_input(self) -> None:
        """Raises an InputError for what is wrong with the whole run: ranks would say it on other machines."""

    def check_earlier(self) -> None:
        """Raises an InputError if what an earlier run made does not fit; nobody else is at work meanwhile."""

    @abstractmethod
    async def work(self, rank: int, quiet: bool) -> ReportT:
        """Does one rank's share."""

    @abstractmethod
    def collect(self, reports: Sequence[ReportT]) -> ReportT:
        """Puts together what the ranks that have reported made, and names what is missing."""

    def reports(self) -> list[Path]:
        """Files of the ranks' reports, those of the teacher's version before included."""
        return sorted([*self.run_folder.glob("reports/rank-*.json"), *self.run_folder.glob("rank-*/report.json")])


class RankStep(PipelineStep):
    """Does one rank and leaves its report."""

    type = "ClipScout"
    name = "Rank"

    def __init__(self, job: RankedJob[Any], quiet: bool = False) -> None:
        super().__init__()
        self.job, self.quiet = job, quiet

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        stop_when_orphaned()
        folder = self.job.run_folder
        with RunLock(folder / f"rank-{rank:05d}.lock", f"rank {rank}"):
            report = asyncio.run(self.job.work(rank, self.quiet or rank > 0))
            write_json(folder / "reports" / f"rank-{rank:05d}.json", report.to_dict())


def run_ranks(job: RankedJob[ReportT], executor: str = "local", quiet: bool = False, **options: Any) -> ReportT:
    """Does the whole job and says what is there and what is missing.

    Run again with the same settings it goes on where it ended. On Slurm it submits the ranks and returns an empty
    report at once; call `collect_run` later.

    Args:
        job: What to do.
        executor: `local` (a process for each rank), `slurm` or `ray`.
        quiet: Whether to show no progress.
        options: Of the executor, see `make_executor`.

    Raises:
        InputError: another run is at work in the folder; it was begun with other settings (the message lists the
            differences); there is nothing to work on.
    """
    begun = time.monotonic()
    job.check_input()
    with RunLock(job.run_folder / "lock", f"{job.name} run"):
        keep_settings(job.run_folder / "settings.json", job.to_dict(), job.out, job.other_settings)
        job.check_earlier()
        for old in job.reports():
            old.unlink()
        run_step(executor, RankStep(job, quiet), job.tasks, executor_logs(job.out, job.to_dict()), **options)
        if executor == "slurm":
            return job.report_type()
        report = collect_run(job)
        report.seconds = time.monotonic() - begun
        write_json(job.run_folder / "report.json", report.to_dict())
        return report


def run_share(job: RankedJob[ReportT], rank: int, quiet: bool = False) -> ReportT:
    """Does one rank's share in this process, for schedulers that start the ranks themselves, as Slurm arrays do.

    Ranks may run at the same time; a rank that runs twice at once is refused. `collect_run` tells of all of them.

    Raises:
        InputError: no such rank; this rank is at work already; other settings; nothing to work on.
    """
    if not 0 <= rank < job.tasks:
        hint = f"give a rank from 0 to {job.tasks - 1}, as there are {job.tasks} tasks"
        raise InputError(job.name, "rank", rank, hint)
    job.check_input()
    keep_settings(job.run_folder / "settings.json", job.to_dict(), job.out, job.other_settings)
    RankStep(job, quiet).run(None, rank)
    return _read(job, job.run_folder / "reports" / f"rank-{rank:05d}.json")


def collect_run(job: RankedJob[ReportT]) -> ReportT:
    """What the ranks have made so far, and what is missing."""
    return job.collect([_read(job, path) for path in job.reports()])


def _read(job: RankedJob[ReportT], path: Path) -> ReportT:
    return job.report_type.from_dict(json.loads(path.read_text(encoding="utf-8")))
