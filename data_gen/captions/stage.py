"""A caption run from its start to its report: ranks caption shares of the videos, here, on Slurm or on Ray."""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from data_gen.captions.captioner import LinesCaptioner
from data_gen.captions.endpoint_captioner import EndpointCaptioner
from data_gen.captions.report import RunReport, VideoReport
from data_gen.captions.run import CaptionRun, Pace
from data_gen.captions.settings import CaptionSettings
from data_gen.captions.subtitles import TimedLines, find_subtitles, read_subtitles
from data_gen.captions.video_job import spent_before
from data_gen.frames.video_files import VideoFile, find_videos
from navigation import InputError, Line, TreeStore, write_json
from navigation.errors import is_number
from runtime import (
    Budget,
    Endpoint,
    EndpointSettings,
    PriceTable,
    RunLock,
    differences,
    executor_logs,
    run_step,
    stop_when_orphaned,
)
from runtime.budget import PRICES


@dataclass(frozen=True, slots=True)
class CaptionJob:
    """All that a rank needs to know; picklable. The key stays in the environment.

    Args:
        videos: Folder of videos, or one video.
        out: Folder of trees.
        endpoint: For the endpoint captioner. Its `in_flight` is that of the whole run: ranks share it evenly.
        max_usd: Limit on money over all runs into `out`; ranks share it evenly.
        annotations: JSONL file of `{video_id, start, end, text}`, for the annotations captioner.
    """

    videos: Path
    out: Path
    settings: CaptionSettings
    endpoint: EndpointSettings | None = None
    pace: Pace = field(default_factory=Pace)
    prices: Path = PRICES
    max_usd: float | None = None
    annotations: Path | None = None

    @property
    def run_folder(self) -> Path:
        return self.out / ".run"


class CaptionStep(PipelineStep):
    """Rank `r` of `w` captions every `w`-th video from the `r`-th on and leaves a report in `out/.run/reports`."""

    name = "Captions"
    type = "Captions"

    def __init__(self, job: CaptionJob, quiet: bool = False) -> None:
        super().__init__()
        self.job = job
        self.quiet = quiet

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        stop_when_orphaned()
        job = self.job
        with RunLock(job.run_folder / f"rank-{rank:05d}.lock", f"rank {rank}"):
            videos = find_videos(job.videos)[0][rank::world_size]
            report = asyncio.run(caption(job, videos, world_size, quiet=self.quiet or rank > 0))
            write_json(job.run_folder / "reports" / f"rank-{rank:05d}.json", report.to_dict())


async def caption(job: CaptionJob, videos: Sequence[VideoFile], share: int = 1, quiet: bool = False) -> RunReport:
    """Captions videos in this process, with one `share`-th of the job's requests in flight and of its money."""
    budget = Budget() if job.max_usd is None else Budget(job.max_usd / share, spent_before(job.out, videos))
    stream = None if quiet else sys.stderr
    lines_of = lines_by_video(job)
    if job.settings.captioner != "endpoint":
        nothing = "Nothing is said." if job.settings.captioner == "subtitles" else "Nothing is annotated."
        captioner = LinesCaptioner(job.settings, nothing)
        return await CaptionRun(job.out, captioner, job.settings, job.pace, lines_of, stream).run(videos)
    if job.endpoint is None:
        raise InputError("captions", "endpoint", None, "give the address of the endpoint")
    settings = replace(job.endpoint, in_flight=max(1, job.endpoint.in_flight // share))
    pace = replace(job.pace, in_flight=settings.in_flight)
    async with Endpoint(settings, PriceTable(job.prices), budget) as endpoint:
        captioner = EndpointCaptioner(endpoint, job.settings)
        return await CaptionRun(job.out, captioner, job.settings, pace, lines_of, stream).run(videos)


def lines_by_video(job: CaptionJob) -> Callable[[VideoFile], TimedLines]:
    """Where the timed texts of a video come from.

    Raises:
        InputError: no annotations, or a row that is none.
    """
    if job.settings.captioner == "annotations":
        return _annotations(job.annotations)
    if job.settings.captioner == "endpoint" and not job.settings.use_subtitles:
        return lambda video: TimedLines()

    def subtitles(video: VideoFile) -> TimedLines:
        path = find_subtitles(video.path)
        if path is not None:
            return read_subtitles(path)
        if job.settings.captioner == "subtitles":
            hint = f"put {video.path.stem}.srt or .vtt beside it, or use another captioner"
            raise InputError(video.path, "subtitles", None, hint)
        return TimedLines()

    return subtitles


def _annotations(path: Path | None) -> Callable[[VideoFile], TimedLines]:
    if path is None:
        raise InputError("captions", "annotations", None, "give a JSONL file of {video_id, start, end, text}")
    by_video: dict[str, list[Line]] = defaultdict(list)
    try:
        rows = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "annotations", str(error), "give a readable JSONL file") from None
    for number, text in enumerate(rows, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
            start, end = row["start"], row["end"]
            if not (is_number(start) and is_number(end) and 0 <= start <= end and isinstance(row["text"], str)):
                raise ValueError
            by_video[str(row["video_id"])].append(Line(float(start), float(end), row["text"]))
        except (KeyError, TypeError, ValueError, RecursionError):
            hint = "give an object with video_id, start and end in seconds (start first), and text"
            raise InputError(f"{path}:{number}", "row", text.strip(), hint) from None

    def annotations(video: VideoFile) -> TimedLines:
        if video.id not in by_video:
            raise InputError(path, "video_id", video.id, "annotate this video, or leave it out")
        lines = sorted(by_video[video.id], key=lambda line: (line.start, line.end))
        return TimedLines(tuple(lines), path)

    return annotations


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
        hint = "go on with the settings it was begun with, or write to another folder. " + "; ".join(changed)
        raise InputError(path.parent.parent, "settings", f"{len(changed)} changed", hint)
