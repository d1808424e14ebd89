"""A caption run from its start to its last words, on this machine, on Slurm or on Ray."""

import json
import time
from pathlib import Path
from typing import Any

from data_gen.captions.report import RunReport, VideoReport
from data_gen.captions.step import CaptionJob, CaptionStep, lines_by_video
from data_gen.captions.video_files import find_videos
from navigation import InputError, TreeStore, write_json
from runtime import RunLock, differences, executor_logs, run_step


def caption_videos(
    job: CaptionJob, executor: str = "local", tasks: int = 1, quiet: bool = False, **options: Any
) -> RunReport:
    """Captions a folder of videos and says what is there and what is missing.

    Run again with the same settings it goes on where it ended. On Slurm it submits the ranks and returns at once; call
    `check` later.

    Args:
        tasks: Ranks the videos are divided among; on this machine, processes.
        options: Of the executor, see `make_executor`.

    Raises:
        InputError: another run is at work in `out`; `out` was begun with other settings (the message lists the
            differences); no videos.
    """
    begun = time.monotonic()
    # What is wrong with the whole run is said here, not by ranks on other machines.
    find_videos(job.videos)
    lines_by_video(job)
    settings = job.settings.to_dict()
    with RunLock(job.run_folder / "lock", "caption run"):
        _keep_settings(job.run_folder / "settings.json", settings)
        for old in (job.run_folder / "reports").glob("rank-*.json"):
            old.unlink()
        run_step(executor, CaptionStep(job, quiet), tasks, executor_logs(job.out, settings), **options)
        report = check(job)
        report.seconds = time.monotonic() - begun
        write_json(job.run_folder / "report.json", report.to_dict())
    return report


def caption_share(job: CaptionJob, rank: int, tasks: int, quiet: bool = False) -> RunReport:
    """Captions one rank's share in this process, for schedulers that start the ranks themselves, as Slurm arrays do.

    Ranks may run at the same time; a rank that runs twice at once is refused. `check` tells of all of them.

    Raises:
        InputError: no such rank, this rank is at work already, other settings, no videos.
    """
    if not 0 <= rank < tasks:
        raise InputError("captions", "rank", rank, f"give a rank from 0 to {tasks - 1}, as there are {tasks} tasks")
    find_videos(job.videos)
    _keep_settings(job.run_folder / "settings.json", job.settings.to_dict())
    CaptionStep(job, quiet).run(None, rank, tasks)
    path = job.run_folder / "reports" / f"rank-{rank:05d}.json"
    return RunReport.from_dict(json.loads(path.read_text(encoding="utf-8")))


def check(job: CaptionJob) -> RunReport:
    """The ranks' reports together, and every video that none of them tells of."""
    parts = []
    for path in sorted((job.run_folder / "reports").glob("rank-*.json")):
        parts.append(RunReport.from_dict(json.loads(path.read_text(encoding="utf-8"))))
    told = {video.video_id for part in parts for video in part.videos}
    videos, refused = find_videos(job.videos)
    trees = TreeStore(job.out)
    others = [VideoReport(video_id, "refused", reason) for video_id, reason in refused]
    for video in videos:
        if video.id not in told:
            state = "complete" if video.id in trees else "incomplete"
            others.append(VideoReport(video.id, state, "" if state == "complete" else "no rank has reported on it"))
    return RunReport.merged([*parts, RunReport(others)])


def _keep_settings(path: Path, settings: dict[str, Any]) -> None:
    if not path.is_file():
        write_json(path, settings)
        return
    changed = differences(json.loads(path.read_text(encoding="utf-8")), settings)
    if changed:
        mend = "go on with the settings it was begun with, or write to another folder. " + "; ".join(changed)
        raise InputError(path.parent.parent, "settings", f"{len(changed)} changed", mend)
