"""One video on its way to a caption tree: what is captioned, what can be asked now, what failed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.captions.captioner import Caption, Captioner, Segment
from data_gen.captions.report import VideoReport
from data_gen.captions.settings import CaptionSettings
from data_gen.frames import SegmentFrames, VideoIndex, index_video, segment_frames
from data_gen.frames.video_files import VideoFile
from data_gen.lines import TimedLines
from navigation import SCREEN, CaptionTree, InputError, Line, SegmentPath, TimeGrid, TreeStore
from navigation.files import child_path
from navigation.grid import format_path
from runtime import Journal, Usage, file_identity, refuse_other, settings_hash
from runtime.paid_calls import PaidWork


def journal_path(out: Path, video_id: str) -> Path:
    """A video's journal in a run's folder."""
    return child_path(out / ".run" / "journals", video_id, ".jsonl")


def spent_before(out: Path, videos: Sequence[VideoFile]) -> float:
    """USD in the journals of these videos, whatever their settings were.

    All are read before the first request: a segment that is asked again early must not spend what later videos have
    spent already.
    """
    total = 0.0
    for video in videos:
        try:
            lines = journal_path(out, video.id).read_bytes().splitlines()
        except FileNotFoundError:
            continue
        by_segment: dict[str, float] = {}
        for line in lines:
            try:
                record = json.loads(line)
                by_segment[record["key"]] = float(record["value"]["usage"].get("usd", 0.0))
            except (ValueError, LookupError, TypeError, AttributeError):
                # The header, the sum of a finished video, and damaged lines tell of no segment.
                continue
        total += sum(by_segment.values())
    return total


_TOTAL, _REFUSED = "total", "refused"


@dataclass(frozen=True, slots=True)
class Work:
    """An open video: its frames' index, its grid, the tree being filled, its journal, and the captions in it."""

    index: VideoIndex
    grid: TimeGrid
    tree: CaptionTree
    journal: Journal
    paid: PaidWork


class VideoJob:
    """State of one video. `open` and `finish` read and write files and may run in a thread; the rest is quick.

    The journal's header holds the settings and the video's identity: other captions, or another video under the same
    name, are refused. A finished tree is recognised by the same record in its `made_by`.
    """

    def __init__(self, video: VideoFile, out: Path, captioner: Captioner, settings: CaptionSettings) -> None:
        self.video, self.captioner, self.settings = video, captioner, settings
        self.lines = TimedLines()
        """Timed texts of the video; set before `open`."""
        self.trees = TreeStore(out)
        self.report = VideoReport(video.id, "incomplete")
        self.captions: dict[SegmentPath, str] = {}
        self.failed: dict[SegmentPath, str] = {}
        self.abandoned = False
        self._journal_path = journal_path(out, video.id)
        self._made_by: dict[str, Any] = {}
        self._work: Work | None = None

    @property
    def work(self) -> "Work":
        """What `open` found to do; there is none if the tree is finished."""
        if self._work is None:
            raise RuntimeError(f"{self.video.id} is not open")
        return self._work

    def open(self) -> None:
        """Recognises a finished tree, or indexes the video and reads its journal.

        Raises:
            InputError: the video or its subtitles are unusable, or what is there was made otherwise.
        """
        self._made_by = provenance(self.settings, self.video.path, self.lines.lines)
        if self.video.id in self.trees:
            self._recognise(self.trees[self.video.id])
            return
        index = index_video(self.video.path, self.settings.accept_damaged, self.captioner.needs_frames(1, 1))
        lines = self.lines.within(index.duration)
        self.report.warnings, self.report.read = [*index.warnings, *lines.warnings()], list(lines.read)
        grid = self.settings.grid(index.duration)
        made_by = with_remarks(self._made_by, self.report.warnings, lines.read)
        tree = CaptionTree(self.video.id, grid, self.captions, made_by, lines.lines)
        journal = Journal(self._journal_path, self._made_by)
        self._work = Work(index, grid, tree, journal, PaidWork(journal))
        for path in grid.paths():
            value = self.work.paid.get(_key(path))
            if value is not None:
                self.report.usage += Usage.from_dict(value["usage"])
                if "caption" in value:
                    self.captions[path] = value["caption"]
        self.report.segments = grid.segment_count
        self.report.resumed = self.report.captioned = len(self.captions)
        if self.work.journal.get(_REFUSED) and not self.settings.accept_damaged:
            self._look_again()

    def _look_again(self) -> None:
        """Decodes all of a video that an earlier run refused: what is left to caption may not show what is wrong.

        It may be sound by now: what could not be read may have been a share that was away.
        """
        for _ in segment_frames(self.work.index, self.work.grid, self.settings.recipe):
            pass
        self.work.journal.append(_REFUSED, "")

    def _recognise(self, tree: CaptionTree) -> None:
        hint = "remove it to make it again, or write to another folder"
        made_by = dict(tree.made_by)
        self.report.warnings, self.report.read = (made_by.pop(name, []) for name in REMARKS)
        refuse_other(self.trees.path(self.video.id), made_by, self._made_by, "made_by", hint)
        self.report.state, self.report.segments = "complete", tree.grid.segment_count
        self.report.captioned = self.report.resumed = len(tree.captions)
        if self._journal_path.is_file():
            with Journal(self._journal_path, self._made_by) as journal:
                if _TOTAL in journal:
                    self.report.usage = Usage.from_dict(journal[_TOTAL])

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will come: each segment is captioned or failed, or the run stopped."""
        asked = len(self.captions) + len(self.failed)
        return self.abandoned or self.report.state == "complete" or asked == self.report.segments

    def frames_wanted(self) -> set[SegmentPath]:
        """Segments without a caption that are captioned from frames."""
        if self._work is None:
            return set()
        return {
            path for path in self.work.tree.missing() if self.captioner.needs_frames(len(path), self.work.grid.depth)
        }

    def ready(self) -> list[SegmentPath]:
        """Segments without a caption that can be asked now, without frames."""
        return [path for path in self.work.tree.missing() if self._is_ready(path)] if self._work is not None else []

    def segment(self, path: SegmentPath, frames: SegmentFrames | None = None) -> Segment:
        """What the captioner is given."""
        children = None
        if self.captioner.needs_children(len(path), self.work.grid.depth):
            children = [self.captions[(*path, child)] for child in range(1, self.work.grid.width + 1)]
        return Segment(self.work.grid, path, self.work.tree.lines_in(path), frames, children)

    def record(self, path: SegmentPath, caption: Caption) -> list[SegmentPath]:
        """Keeps a caption; returns the segments that can be asked now because of it."""
        self.work.paid.keep(_key(path), {"caption": caption.text}, caption.usage)
        self.captions[path] = caption.text
        self.report.captioned += 1
        self.report.usage += caption.usage
        return [path[:-1]] if len(path) > 1 and self._is_ready(path[:-1]) else []

    def record_failure(self, path: SegmentPath, reason: str, usage: Usage) -> None:
        """Lists a segment as failed, and with it the segments that would be written from its caption."""
        self.record_cost(path, usage, reason)
        self.failed[path] = reason
        while (parent := path[:-1]) and parent not in self.failed:
            if not self.captioner.needs_children(len(parent), self.work.grid.depth):
                return
            self.failed[parent] = f"the caption of {format_path(path)} is missing"
            path = parent

    def record_cost(self, path: SegmentPath, usage: Usage, reason: str) -> None:
        """Keeps what a segment cost that has no caption yet. It is asked again by the next run."""
        if usage.requests:
            self.work.paid.keep(_key(path), {"failed": reason}, usage)
            self.report.usage += usage

    def finish(self) -> None:
        """Writes the tree if it is whole, closes the journal and completes the report."""
        self.report.failed = {format_path(path): reason for path, reason in sorted(self.failed.items())}
        if self._work is None:
            return
        self.report.unasked = self.report.segments - len(self.captions) - len(self.failed)
        try:
            if not self.work.tree.missing() and self.report.state != "refused":
                self.trees.save(self.work.tree)
                self.work.journal.append(_TOTAL, self.report.usage.to_dict())
                self.report.state = "complete"
        finally:
            self.work.journal.close()

    def refuse(self, error: InputError | OSError) -> None:
        """Gives the video up, and has the next run look at all of it first if something is wrong with the video."""
        self.report.state, self.report.reason, self.abandoned = "refused", str(error), True
        if self._work is not None and isinstance(error, InputError) and not self.work.journal.get(_REFUSED):
            self.work.journal.append(_REFUSED, str(error))

    def _is_ready(self, path: SegmentPath) -> bool:
        if path in self.captions or path in self.failed or self.captioner.needs_frames(len(path), self.work.grid.depth):
            return False
        if not self.captioner.needs_children(len(path), self.work.grid.depth):
            return True
        return all((*path, child) in self.captions for child in range(1, self.work.grid.width + 1))


def provenance(settings: CaptionSettings, video: Path, lines: Sequence[Line]) -> dict[str, Any]:
    """All that decides a tree's captions, as `made_by` has it: equal records, equal captions."""
    record = {**settings.to_dict(), "video": file_identity(video)}
    if lines:
        record["lines_sha256"] = settings_hash({"lines": [_told(line) for line in lines]})
    return record


def _told(line: Line) -> tuple[object, ...]:
    """What of a line a captioner tells: that it is read on screen, and not who made it."""
    return (line.start, line.end, line.text, *([line.kind] if line.kind == SCREEN else []))


REMARKS = ("warnings", "read")
"""What a tree's `made_by` holds besides its settings: what was odd in the video and its lines, and which files and
tracks the lines are from. Not compared."""


def with_remarks(made_by: dict[str, Any], warnings: Sequence[str], read: Sequence[str]) -> dict[str, Any]:
    """`made_by` of a tree; without any remark it holds the settings alone."""
    told = zip(REMARKS, (list(warnings), list(read)), strict=True)
    return made_by | {name: texts for name, texts in told if texts}


def _key(path: SegmentPath) -> str:
    return ",".join(map(str, path))
