"""Many videos at once: threads decode, one event loop captions, a video's tail goes on beside the next one's head."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from data_gen.captions.captioner import Captioner
from data_gen.captions.report import RunReport, VideoReport
from data_gen.captions.settings import CaptionSettings
from data_gen.captions.video_job import VideoJob
from data_gen.frames import SegmentFrames, segment_frames
from data_gen.frames.video_files import VideoFile
from data_gen.lines import TimedLines
from navigation import InputError, SegmentPath
from runtime import BudgetExceeded, EndpointDown, EndpointFailed, Progress, Usage


class Closed(Exception):
    """The run is stopping: decode no further."""


class ByteGate:
    """A bound on the bytes of frames that wait for a caption or are being captioned.

    `acquire` blocks a decoding thread until there is room; something larger than the bound passes when nothing else is
    held, so that nothing waits for ever. Not counted: the unfinished segments of each decoding thread, one a level.

    Args:
        limit: Bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.peak = 0
        self._closed = False
        self._changed = threading.Condition()

    def acquire(self, count: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.held or self.held + count <= self.limit)
            if self._closed:
                raise Closed
            self.held += count
            self.peak = max(self.peak, self.held)

    def release(self, count: int) -> None:
        with self._changed:
            self.held -= count
            self._changed.notify_all()

    def close(self) -> None:
        """Wakes all who wait, with `Closed`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and with how much memory; nothing here changes a caption.

    Args:
        in_flight: Segments being captioned at once.
        decoding: Videos decoded at once, a thread each.
        frame_bytes: Bound on the JPEGs that wait or are being captioned.
    """

    in_flight: int = 64
    decoding: int = 2
    frame_bytes: int = 96_000_000


@dataclass(slots=True, eq=False)
class _Underway:
    """A video that is being worked on: its state, and how many of its segments are being captioned."""

    job: VideoJob
    busy: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def check(self) -> None:
        if self.job.is_settled and not self.busy:
            self.settled.set()


class CaptionRun:
    """Captions videos into `out`, one tree each, and goes on where an earlier run ended.

    A segment is journalled when its caption arrives. A video that cannot be used is reported, and so is a segment that
    failed for good; the others go on. The run stops early (what is in flight is finished) when the endpoint is down,
    the money is used up or the disk is full.

    Args:
        captioner: Who writes captions.
        settings: What they should be.
        pace: Limits.
        lines_of: Timed texts of a video; InputError if they are unusable.
        stream: Where to show how far it is.
    """

    def __init__(
        self,
        out: str | Path,
        captioner: Captioner,
        settings: CaptionSettings,
        pace: Pace | None = None,
        lines_of: Callable[[VideoFile], TimedLines] = lambda video: TimedLines(),
        stream: TextIO | None = None,
    ) -> None:
        self.out, self.captioner, self.settings = Path(out), captioner, settings
        self.pace = pace or Pace()
        self.lines_of = lines_of
        self.gate = ByteGate(self.pace.frame_bytes)
        self.stopped = ""
        self.progress = Progress("captions", self._detail, stream)
        self._reports: list[VideoReport] = []
        self._underway: set[_Underway] = set()
        self._queue: asyncio.PriorityQueue = asyncio.PriorityQueue()
        self._order = itertools.count()

    async def run(self, videos: Sequence[VideoFile]) -> RunReport:
        """Captions all videos; returns when each is complete, refused or given up. Call it once."""
        begun = time.monotonic()
        self._videos, self._opened = len(videos), 0
        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(self.pace.decoding, "decode") as self._threads:
            all_videos = asyncio.create_task(self._run_videos(videos))
            workers = [asyncio.create_task(self._work()) for _ in range(self.pace.in_flight)]
            try:
                # Workers end by an error only: without this it would go unseen and the videos wait for ever.
                await asyncio.wait([all_videos, *workers], return_when=asyncio.FIRST_COMPLETED)
                for worker in workers:
                    if worker.done():
                        worker.result()
                await all_videos
            finally:
                self.gate.close()
                for task in (all_videos, *workers):
                    task.cancel()
                await asyncio.gather(all_videos, *workers, return_exceptions=True)
        self.progress.close()
        self._reports.sort(key=lambda report: report.video_id)
        return RunReport(self._reports, self.stopped, time.monotonic() - begun)

    def stop(self, reason: str) -> None:
        """Asks for nothing more; what is in flight is finished."""
        if self.stopped:
            return
        self.stopped = reason
        self.gate.close()
        for each in self._underway:
            each.job.abandoned = True
            each.check()

    async def _run_videos(self, videos: Sequence[VideoFile]) -> None:
        decoding = asyncio.Semaphore(self.pace.decoding)
        async with asyncio.TaskGroup() as group:
            for video in videos:
                await decoding.acquire()
                group.create_task(self._run_video(video, decoding))

    async def _run_video(self, video: VideoFile, decoding: asyncio.Semaphore) -> None:
        each = _Underway(VideoJob(video, self.out, self.captioner, self.settings))
        self._underway.add(each)
        try:
            try:
                if self.stopped:
                    each.job.report.reason = "not begun"
                else:
                    await self._in_thread(self._prepare, each.job)
                    self._begin(each)
                    await self._in_thread(self._decode, each)
            except (InputError, OSError) as error:
                each.job.refuse(error)
            finally:
                decoding.release()
            each.job.abandoned |= bool(self.stopped)
            each.check()
            await each.settled.wait()
        finally:
            self._underway.discard(each)
            self._reports.append(each.job.report)
            try:
                each.job.finish()
            except OSError as error:
                self.stop(f"{video.id}: the tree cannot be written: {error}")

    def _prepare(self, job: VideoJob) -> None:
        job.lines = self.lines_of(job.video)
        job.open()

    def _begin(self, each: _Underway) -> None:
        report = each.job.report
        self.progress.expect(report.segments)
        self.progress.resume(report.captioned)
        self._opened += 1
        self.progress.guess_later(self.progress.total / self._opened * (self._videos - self._opened))
        for path in each.job.ready():
            self._enqueue(each, path, None)

    def _decode(self, each: _Underway) -> None:
        job = each.job
        wanted = job.frames_wanted()
        if not wanted:
            return
        replaced = 0
        try:
            for frames in segment_frames(
                job.work.index, job.work.grid, self.settings.recipe, wanted, self.settings.accept_damaged
            ):
                replaced += frames.replaced
                self.gate.acquire(frames.byte_count)
                self._loop.call_soon_threadsafe(self._enqueue, each, frames.path, frames)
        except Closed:
            return
        if replaced:
            job.report.warnings.append(f"{replaced} requested frames cannot be decoded: the one before each is shown")

    def _enqueue(self, each: _Underway, path: SegmentPath, frames: SegmentFrames | None) -> None:
        # Those without frames go first: they hold no memory and end a video.
        self._queue.put_nowait((frames is not None, next(self._order), each, path, frames))

    async def _work(self) -> None:
        while True:
            *_, each, path, frames = await self._queue.get()
            held = frames.byte_count if frames is not None else 0
            if not each.job.abandoned:
                each.busy += 1
                try:
                    await self._caption(each, path, frames)
                except OSError as error:
                    self.stop(f"the journal cannot be written: {error}")
                each.busy -= 1
                each.check()
            del frames
            self.gate.release(held)

    async def _caption(self, each: _Underway, path: SegmentPath, frames: SegmentFrames | None) -> None:
        job = each.job
        try:
            caption = await self.captioner.caption(job.segment(path, frames))
        except EndpointFailed as error:
            job.record_failure(path, error.reason, error.usage)
        except (EndpointDown, BudgetExceeded) as error:
            job.record_cost(path, error.usage, str(error))
            self.stop(str(error))
        else:
            for parent in job.record(path, caption):
                self._enqueue(each, parent, None)
            self.progress.advance()

    async def _in_thread(self, function: Callable[..., None], *arguments: object) -> None:
        await self._loop.run_in_executor(self._threads, function, *arguments)

    def _detail(self) -> str:
        reports = [*self._reports, *(each.job.report for each in self._underway)]
        usage = sum((report.usage for report in reports), Usage())
        failed = sum(len(each.job.failed) for each in self._underway) + sum(len(each.failed) for each in self._reports)
        done = f"{len(self._reports)} of {self._videos} videos"
        tokens = f"{usage.prompt_tokens + usage.completion_tokens:,} tokens, {usage.usd:.4f} USD"
        return ", ".join([done, *([f"{failed} failed"] if failed else []), tokens])
