"""A run that makes the lines of many videos: ranks do shares of them, here, on Slurm or on Ray."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_gen.frames.video_files import VideoFile, find_videos
from data_gen.lines.make import SUFFIX, lines_text, make_lines
from data_gen.lines.settings import LineSettings
from data_gen.lines.subtitles import subtitle_text
from data_gen.lines.timed_lines import count_of
from navigation import InputError, write_atomic
from navigation.files import child_path
from runtime import EndpointDown, EndpointFailed, Journal, Progress, file_identity
from runtime.ranked_run import RankedJob

FORMATS = ("srt", "vtt")


@dataclass(slots=True)
class VideoLines:
    """One video's part of a run.

    Args:
        state: `complete`, `incomplete` (an endpoint did not answer; what was heard is kept) or `refused`.
        lines: Count by kind.
    """

    video_id: str
    state: str
    reason: str = ""
    lines: dict[str, int] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class LinesReport:
    """All videos of a run."""

    videos: list[VideoLines] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        return all(video.state == "complete" for video in self.videos)

    def to_dict(self) -> dict[str, Any]:
        videos = [video.to_dict() for video in self.videos]
        return {"complete": self.complete, "seconds": round(self.seconds, 3), "videos": videos}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "LinesReport":
        return cls([VideoLines(**video) for video in record["videos"]], record["seconds"])

    def lines(self) -> list[str]:
        """What a run says at its end: totals, then what is missing or odd, by video."""
        states = [sum(video.state == state for video in self.videos) for state in ("complete", "incomplete", "refused")]
        kinds = count_of(kind for video in self.videos for kind, count in video.lines.items() for _ in range(count))
        said = [
            f"{len(self.videos)} videos: {states[0]} complete, {states[1]} incomplete, {states[2]} refused; "
            f"lines: {kinds or 'none'}"
        ]
        for video in self.videos:
            said += [f"{video.video_id}: {warning}" for warning in video.warnings]
            if video.reason:
                said.append(f"{video.video_id} {video.state}: {video.reason}")
        return said


@dataclass(frozen=True, slots=True)
class LinesJob(RankedJob[LinesReport]):
    """All that a rank needs to know; picklable.

    Args:
        videos: Folder of videos, or one video.
        out: Folder of `<video>.lines.jsonl`, one row a line: start, end, kind, source, language, text, words.
        formats: Of `FORMATS`: subtitle files of what is said, written beside.
        accept_damaged: Take what is there of videos that were cut short.
        tasks: Ranks the videos are divided among.
    """

    videos: Path
    out: Path
    settings: LineSettings
    formats: tuple[str, ...] = ()
    accept_damaged: bool = False
    tasks: int = 1

    name = "lines"
    report_type = LinesReport

    @property
    def run_folder(self) -> Path:
        return self.out / ".run"

    def to_dict(self) -> dict[str, Any]:
        return {"lines": self.settings.to_dict(), "formats": list(self.formats)}

    def check_input(self) -> None:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown:
            raise InputError("lines", "--export", ",".join(unknown), f"give {' or '.join(FORMATS)}, or both")
        self.settings.check()
        find_videos(self.videos)

    async def work(self, rank: int, quiet: bool) -> LinesReport:
        """Makes the lines of every `tasks`-th video from the `rank`-th on, one video after another."""
        begun = time.monotonic()
        report = LinesReport()
        progress = Progress("seconds of video", lambda: f"{len(report.videos)} videos", None if quiet else sys.stderr)
        down = ""
        for video in find_videos(self.videos)[0][rank :: self.tasks]:
            if down:
                report.videos.append(VideoLines(video.id, "incomplete", f"not begun: {down}"))
                continue
            try:
                report.videos.append(await self._video(video, progress))
            except (EndpointFailed, EndpointDown) as error:
                report.videos.append(VideoLines(video.id, "incomplete", str(error)))
                down = str(error) if isinstance(error, EndpointDown) else ""
            except (InputError, OSError) as error:
                report.videos.append(VideoLines(video.id, "refused", str(error)))
        progress.close()
        report.seconds = time.monotonic() - begun
        return report

    async def _video(self, video: VideoFile, progress: Progress) -> VideoLines:
        path = child_path(self.out, video.id, SUFFIX)
        journals = self.run_folder / "journals"
        record = {"video": file_identity(video.path), **self.to_dict()}
        with Journal(child_path(journals, video.id, ".report.jsonl"), record) as journal:
            done = journal.get("done")
            if done is not None and path.is_file():
                return VideoLines(**done)
            timed, records, odd = await make_lines(
                video.path, self.settings, child_path(journals, video.id, ".jsonl"), self.accept_damaged, progress
            )
            for name in self.formats:
                write_atomic(child_path(self.out, video.id, f".{name}"), subtitle_text(records, name))
            write_atomic(path, lines_text(records))
            kinds: dict[str, int] = {}
            for line in timed.lines:
                kinds[line.kind] = kinds.get(line.kind, 0) + 1
            found = VideoLines(video.id, "complete", "", kinds, list(timed.read), [*odd, *timed.warnings()])
            journal.append("done", found.to_dict())
            return found

    def collect(self, reports: Sequence[LinesReport]) -> LinesReport:
        """The ranks' reports together, and every video that none of them tells of."""
        told = [video for part in reports for video in part.videos]
        videos, refused = find_videos(self.videos)
        others = [VideoLines(video_id, "refused", reason) for video_id, reason in refused]
        known = {video.video_id for video in told}
        for video in videos:
            if video.id not in known:
                there = child_path(self.out, video.id, SUFFIX).is_file()
                state = "complete" if there else "incomplete"
                others.append(VideoLines(video.id, state, "" if there else "no rank has reported on it"))
        every = sorted([*told, *others], key=lambda video: video.video_id)
        return LinesReport(every, max((part.seconds for part in reports), default=0.0))
