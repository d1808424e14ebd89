"""A caption run from its start to its report: ranks caption shares of the videos, here, on Slurm or on Ray."""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_gen.captions.captioner import EndpointCaptioner
from data_gen.captions.lines_captioner import LinesCaptioner, SummaryCaptioner
from data_gen.captions.report import RunReport, VideoReport
from data_gen.captions.run import CaptionRun, Pace
from data_gen.captions.settings import LINES, CaptionSettings
from data_gen.captions.video_job import spent_before
from data_gen.frames.video_files import VideoFile, find_videos
from data_gen.lines import TimedLines, find_subtitles
from data_gen.lines.make import finished, lines_of, sources_of
from data_gen.lines.timed_lines import listed
from navigation import ANNOTATION, InputError, Line, TreeStore, read_jsonl
from navigation.files import child_path
from runtime import (
    Budget,
    Endpoint,
    EndpointSettings,
    PriceTable,
)
from runtime.budget import PRICES
from runtime.ranked_run import RankedJob


@dataclass(frozen=True, slots=True)
class CaptionJob(RankedJob[RunReport]):
    """All that a rank needs to know; picklable. The key stays in the environment.

    Args:
        videos: Folder of videos, or one video.
        out: Folder of trees.
        endpoint: For the endpoint captioner. Its `in_flight` is that of the whole run: ranks share it evenly.
        max_usd: Limit on money over all runs into `out`; ranks share it evenly.
        annotations: JSONL file of `{video_id, start, end, text}`, for the annotations captioner.
        lines_from: Folder of finished lines, as `clipscout lines` leaves them; None looks beside the videos.
        tasks: Ranks the videos are divided among.
    """

    videos: Path
    out: Path
    settings: CaptionSettings
    endpoint: EndpointSettings | None = None
    pace: Pace = field(default_factory=Pace)
    prices: Path = PRICES
    max_usd: float | None = None
    annotations: Path | None = None
    lines_from: Path | None = None
    tasks: int = 1

    name = "caption"
    report_type = RunReport

    @property
    def run_folder(self) -> Path:
        return self.out / ".run"

    def to_dict(self) -> dict[str, Any]:
        return self.settings.to_dict()

    def check_input(self) -> None:
        find_videos(self.videos)
        self.settings.lines.check()
        lines_by_video(self)

    async def work(self, rank: int, quiet: bool) -> RunReport:
        """Captions every `tasks`-th video from the `rank`-th on."""
        return await caption(self, find_videos(self.videos)[0][rank :: self.tasks], quiet)

    def collect(self, reports: Sequence[RunReport]) -> RunReport:
        """The ranks' reports together, and every video that none of them tells of."""
        told = {video.video_id for part in reports for video in part.videos}
        videos, refused = find_videos(self.videos)
        trees = TreeStore(self.out)
        others = [VideoReport(video_id, "refused", reason) for video_id, reason in refused]
        for video in videos:
            if video.id not in told:
                state = "complete" if video.id in trees else "incomplete"
                others.append(VideoReport(video.id, state, "" if state == "complete" else "no rank has reported on it"))
        notes = _unknown_videos(self.annotations, [video.id for video in videos]) if self.annotations else []
        return RunReport.merged([*reports, RunReport(others, notes=notes)])


async def caption(job: CaptionJob, videos: Sequence[VideoFile], quiet: bool = False) -> RunReport:
    """Captions videos in this process, with one rank's share of the requests in flight and of the money."""
    share = job.tasks
    budget = Budget() if job.max_usd is None else Budget(job.max_usd / share, spent_before(job.out, videos))
    stream = None if quiet else sys.stderr
    lines_by = lines_by_video(job)
    if job.settings.captioner != "endpoint" and not (job.settings.captioner == LINES and job.settings.model):
        lines_captioner = LinesCaptioner(job.settings)
        return await CaptionRun(job.out, lines_captioner, job.settings, job.pace, lines_by, stream).run(videos)
    if job.endpoint is None:
        raise InputError("captions", "endpoint", None, "give the address of the endpoint")
    settings = replace(job.endpoint, in_flight=max(1, job.endpoint.in_flight // share))
    pace = replace(job.pace, in_flight=settings.in_flight)
    async with Endpoint(settings, PriceTable(job.prices), budget) as endpoint:
        kind = SummaryCaptioner if job.settings.captioner == LINES else EndpointCaptioner
        return await CaptionRun(job.out, kind(endpoint, job.settings), job.settings, pace, lines_by, stream).run(videos)


def lines_by_video(job: CaptionJob) -> Callable[[VideoFile], TimedLines]:
    """Where the timed texts of a video come from.

    Raises:
        InputError: no annotations, or a row that is none.
    """
    if job.settings.captioner == "annotations":
        return _annotations(job.annotations)
    if job.settings.captioner == "endpoint" and not job.settings.use_subtitles:
        return lambda video: TimedLines()

    settings = job.settings.lines

    def subtitles(video: VideoFile) -> TimedLines:
        found = find_subtitles(video.path, settings.subtitle_language)
        if found is None:
            hint = f"put {video.path.stem}.srt or .vtt beside it, or use another captioner"
            raise InputError(video.path, "subtitles", None, hint)
        return found.read()

    def lines(video: VideoFile) -> TimedLines:
        nowhere = finished(video.path, job.lines_from, video.id) is None and not sources_of(video.path, settings)
        if nowhere and job.settings.captioner == LINES:
            hint = "give --lines speech,screen with --speech-model, or --lines-from, or put subtitles beside it"
            raise InputError(video.path, "lines", None, hint)
        journal = child_path(job.run_folder / "lines", video.id, ".jsonl")
        return lines_of(video.path, settings, journal, job.lines_from, video.id)

    return subtitles if job.settings.captioner == "subtitles" else lines


def _annotations(path: Path | None) -> Callable[[VideoFile], TimedLines]:
    if path is None:
        raise InputError("captions", "annotations", None, "give a JSONL file of {video_id, start, end, text}")
    by_video: dict[str, list[Line]] = defaultdict(list)
    for video_id, line in _annotation_rows(path):
        by_video[video_id].append(line)

    def annotations(video: VideoFile) -> TimedLines:
        if video.id not in by_video:
            raise InputError(path, "video_id", video.id, "annotate this video, or leave it out")
        lines = sorted(by_video[video.id], key=lambda line: (line.start, line.end))
        return TimedLines(tuple(lines), path, read=(path.name,))

    return annotations


def _annotation_rows(path: Path) -> Iterator[tuple[str, Line]]:
    hint = "give an object with video_id, start and end in seconds (start first), and text"
    for source, row in read_jsonl(path, hint):
        if "video_id" not in row:
            raise InputError(source, "row", row, hint)
        line = Line.from_dict({"kind": ANNOTATION, **row}, source, "row")
        if line.start < 0:
            raise InputError(source, "row", row, hint)
        yield str(row["video_id"]), line


def _unknown_videos(path: Path, known: Sequence[str]) -> list[str]:
    """What a report says of annotations of videos that are not there."""
    rows = Counter(video_id for video_id, _ in _annotation_rows(path))
    unknown = [f"{video_id} ({count} rows)" for video_id, count in sorted(rows.items()) if video_id not in set(known)]
    return [f"{path.name}: rows of {len(unknown)} videos that are not there: {listed(unknown)}"] if unknown else []
