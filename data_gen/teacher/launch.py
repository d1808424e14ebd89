"""A teacher run from its start to `trajectories.jsonl`, on this machine, on Slurm or on Ray."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from data_gen.teacher.corpus_digest import keep_corpus
from data_gen.teacher.report_counts import RunReport
from data_gen.teacher.step import TeacherJob, TeacherStep
from data_gen.teacher.trajectory_file import write_lines
from navigation import TOOLS, InputError, TreeStore, read_questions, write_json
from runtime import Journal, RunLock, differences, executor_logs, run_step


def teach_questions(job: TeacherJob, executor: str = "local", quiet: bool = False, **options: Any) -> RunReport:
    """Walks the questions of `job.out` and writes `trajectories.jsonl`, `failed.jsonl` and `teacher.json` there.

    Run again with the same settings it goes on where it ended. On Slurm it submits the ranks and returns at once; call
    `collect` later.

    Args:
        options: Of the executor, see `data_gen.durable.make_executor`.

    Raises:
        InputError: another run is at work in `out`; `out` was begun with other settings (the message lists the
            differences) or its questions or trees have changed since; no questions or trees.
    """
    begun = time.monotonic()
    for name, mend in (("questions.jsonl", "write the corpus there first"), ("trees", "write the trees there first")):
        if not (job.out / name).exists():
            raise InputError(job.out, "folder", f"no {name}", f"{mend}, for example with `clipscout questions`")
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
    """Walks one rank's share in this process, for schedulers that start the ranks themselves, as Slurm arrays do.

    Ranks may run at the same time; a rank that runs twice at once is refused. `collect` writes the walks of all out.

    Raises:
        InputError: no such rank, this rank is at work already, other settings, no questions or trees.
    """
    if not 0 <= rank < job.tasks:
        mend = f"give a rank from 0 to {job.tasks - 1}, as there are {job.tasks} tasks"
        raise InputError("teacher", "rank", rank, mend)
    _check_folder(job)
    _keep_settings(job, job.to_dict())
    TeacherStep(job, quiet).run(None, rank, job.tasks)
    return RunReport.from_dict(json.loads((job.rank_folder(rank) / "report.json").read_text(encoding="utf-8")))


def _check_folder(job: TeacherJob) -> None:
    for name, mend in (("questions.jsonl", "write the corpus there first"), ("trees", "write the trees there first")):
        if not (job.out / name).exists():
            raise InputError(job.out, "folder", f"no {name}", f"{mend}, for example with `clipscout questions`")


def collect(job: TeacherJob) -> RunReport:
    """Writes the finished walks of all ranks out and says what is there and what is missing."""
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
    report.walks = len(questions) * job.settings.samples
    with ExitStack() as stack:
        journals = [
            stack.enter_context(Journal(job.rank_folder(rank) / "walks.jsonl", job.to_dict()))
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
    """Finished walks in the questions' order, each once."""
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
        mend = "go on with the settings it was begun with, or write to another folder. " + "; ".join(changed)
        raise InputError(job.out, "settings", f"{len(changed)} changed", mend)
