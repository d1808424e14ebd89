"""Captions of one video, each written when somebody opens its segment and kept for whoever opens it next."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_gen.captions.captioner import Caption, Captioner, Segment
from data_gen.captions.settings import CaptionSettings
from data_gen.captions.video_job import provenance, with_remarks
from data_gen.frames import FrameRecipe, SegmentFrames, VideoIndex, index_video, segment_frames
from data_gen.lines import SUFFIXES, Subtitles, TimedLines, find_subtitles
from navigation import CaptionTree, InputError, Line, SegmentPath, write_json
from runtime import Usage, settings_hash
from runtime.paid_calls import PaidWork, RecordFiles

FOLDER = ".clipscout"
"""The cache beside a video."""


class OnDemandCaptions:
    """One video's caption tree, filled in as it is read. Make it with `open`, in the event loop that it will run on.

    A segment's frames are sought, not read from the beginning, and are those of a whole caption run; so is the caption.
    It is asked for once, however many want it at the same moment, and then stands in `folder`, one small file a
    segment. The folder's name is a hash of the video's content, the settings and the timed texts: other settings never
    meet in it, a renamed video finds it again, and any number of processes may share it. What is in it is whole, so a
    stop at any moment leaves a usable cache.

    Args:
        source: The video, or a subtitle file without its video.
        lines: Its timed texts.
        index: The video's frames; None for a subtitle file.
    """

    def __init__(
        self,
        source: Path,
        captioner: Captioner,
        settings: CaptionSettings,
        lines: TimedLines,
        index: VideoIndex | None,
        cache: Path | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.source, self.captioner, self.settings, self.index = source, captioner, settings, index
        if index is None and captioner.needs_frames(1, 1):
            raise InputError(source, "video", None, "give the video itself, or a captioner that needs no frames")
        made_by = provenance(settings, source, lines.lines)
        self.folder = cache_beside(source, cache) / settings_hash(made_by)[:24]
        self._paid = PaidWork(RecordFiles(self.folder))
        duration = index.duration if index is not None else max(line.end for line in lines.lines)
        lines = lines.within(duration)
        self.captions = _OpenedCaptions(self, loop)
        self.warnings = [*(index.warnings if index is not None else ()), *lines.warnings()]
        record = with_remarks(made_by, self.warnings, lines.read)
        self.tree = CaptionTree(source.stem, settings.grid(duration), self.captions, record, lines.lines)
        self.usage = Usage()
        """What this object has asked for; captions found in the cache cost nothing."""
        self._underway: dict[SegmentPath, asyncio.Task[str]] = {}
        # Threads of its own: the loop's may all be taken by tools that wait for captions.
        self._threads = ThreadPoolExecutor(2, "caption on demand")
        if not (self.folder / "made_by.json").is_file():
            write_json(self.folder / "made_by.json", {"source": source.name, **made_by})

    @classmethod
    async def open(
        cls,
        source: str | Path,
        captioner: Captioner,
        settings: CaptionSettings,
        lines: Sequence[Line] | TimedLines | None = None,
        cache: str | Path | None = None,
    ) -> "OnDemandCaptions":
        """Reads the video's time stamps (1 % of the cost of decoding it) and its subtitles.

        Args:
            source: A video, or an SRT or VTT file where there is no video: it lasts until its last line ends.
            lines: Timed texts; None takes the subtitles beside the video, if there are any.
            cache: Folder of caches; None takes `.clipscout` beside the video, or where that cannot be written
                `clipscout/captions` in the user's cache folder.

        Raises:
            InputError: no usable video or subtitle file; a captioner that needs frames for a subtitle file.
        """
        source = Path(source)
        loop = asyncio.get_running_loop()
        folder = Path(cache) if cache else None

        def make() -> OnDemandCaptions:
            given = lines if isinstance(lines, TimedLines) else TimedLines(tuple(lines or ()))
            if source.suffix.lower() in SUFFIXES:
                timed = Subtitles(source).read() if lines is None else given
                return cls(source, captioner, settings, timed, None, folder, loop)
            language = settings.lines.subtitle_language
            found = find_subtitles(source, language) if lines is None and source.is_file() else None
            timed = given if found is None else found.read()
            index = index_video(source, settings.accept_damaged, captioner.needs_frames(1, 1))
            return cls(source, captioner, settings, timed, index, folder, loop)

        return await asyncio.to_thread(make)

    async def caption(self, path: SegmentPath) -> str:
        """The caption of a segment, from memory, from the cache, or from the captioner.

        Raises:
            InputError: no such segment; the video cannot be decoded there.
            EndpointFailed, EndpointDown, BudgetExceeded: from the captioner.
        """
        known = self.captions.known.get(path)
        if known is not None:
            return known
        task = self._underway.get(path)
        if task is None:
            # A task of its own: if whoever asked first gives up, the others still get it.
            task = asyncio.ensure_future(self._find_or_make(path))
            self._underway[path] = task
        return await asyncio.shield(task)

    async def captions_of(self, paths: Iterable[SegmentPath]) -> list[str]:
        """Several at once, in order; `tree.grid.paths(1)` are the ones an episode begins with.

        Raises:
            InputError, EndpointFailed, EndpointDown, BudgetExceeded: the first of `paths` that failed, when all have
                ended: none goes on being asked for, and paid for, behind the caller's back.
        """
        captions = []
        for caption in await asyncio.gather(*map(self.caption, paths), return_exceptions=True):
            if isinstance(caption, BaseException):
                raise caption
            captions.append(caption)
        return captions

    async def take_in_written(self) -> int:
        """Takes in what the cache holds of earlier times, which `tree.captions` then tells of; returns how many."""
        missing = [path for path in self.tree.grid.paths() if path not in self.captions.known]
        texts = await self._in_thread(lambda: [self._written(path) for path in missing])
        found = {path: text for path, text in zip(missing, texts, strict=True) if text is not None}
        self.captions.known.update(found)
        return len(found)

    async def frames(self, path: SegmentPath, recipe: FrameRecipe | None = None) -> SegmentFrames:
        """A segment's frames: those its caption is written from, or by another recipe (thumbnails, say)."""
        if self.index is None or not self.index.has_pictures:
            raise InputError(self.source, "frames", None, "give the video itself")
        return await self._in_thread(self._decode, path, recipe or self.settings.recipe)

    def close(self) -> None:
        """Lets the threads go; what is being decoded is finished and dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decode(self, path: SegmentPath, recipe: FrameRecipe) -> SegmentFrames:
        assert self.index is not None  # `frames` has looked
        (found,) = segment_frames(self.index, self.tree.grid, recipe, {path}, self.settings.accept_damaged)
        return found

    async def _find_or_make(self, path: SegmentPath) -> str:
        try:
            self.tree.grid.index(path)
            text = await self._in_thread(self._written, path)
            if text is None:
                caption = await self._make(path)
                await self._in_thread(self._paid.keep, _key(path), {"caption": caption.text}, caption.usage)
                text = caption.text
            self.captions.known[path] = text
            return text
        finally:
            del self._underway[path]

    async def _make(self, path: SegmentPath) -> Caption:
        grid, level = self.tree.grid, len(path)
        frames = children = None
        if self.captioner.needs_frames(level, grid.depth):
            frames = await self.frames(path)
        elif self.captioner.needs_children(level, grid.depth):
            children = await self.captions_of([(*path, child) for child in range(1, grid.width + 1)])
        try:
            caption = await self.captioner.caption(Segment(grid, path, self.tree.lines_in(path), frames, children))
        except Exception as error:
            self.usage += getattr(error, "usage", Usage())
            raise
        self.usage += caption.usage
        return caption

    async def _in_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _written(self, path: SegmentPath) -> str | None:
        """The caption in the cache; None if it is not there or was damaged by somebody else."""
        text = (self._paid.get(_key(path)) or {}).get("caption")
        return text if isinstance(text, str) and text else None


class _OpenedCaptions(Mapping[SegmentPath, str]):
    """What has been opened; looking up another segment of the video makes its caption and waits for it.

    Only from threads other than the event loop's, as tools run: the loop itself awaits `OnDemandCaptions.caption`. An
    episode reads the top level on the loop when it begins, so that is awaited before it. Iterating, counting and `in`
    tell of what is opened and make nothing.
    """

    def __init__(self, owner: OnDemandCaptions, loop: asyncio.AbstractEventLoop) -> None:
        self.known: dict[SegmentPath, str] = {}
        self._owner, self._loop = owner, loop

    def __getitem__(self, path: SegmentPath) -> str:
        if path in self.known:
            return self.known[path]
        if not self._owner.tree.grid.contains(path):
            raise KeyError(path)
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            raise RuntimeError(f"await caption({path}) first: the event loop cannot wait for itself")
        return asyncio.run_coroutine_threadsafe(self._owner.caption(path), self._loop).result()

    def __contains__(self, path: object) -> bool:
        return path in self.known

    def __iter__(self) -> Iterator[SegmentPath]:
        return iter(dict(self.known))

    def __len__(self) -> int:
        return len(self.known)


def _key(path: SegmentPath) -> str:
    return "-".join(map(str, path))


def cache_beside(source: Path, cache: Path | None = None) -> Path:
    """Where what is made of a video is kept: the folder that is given, beside it, or in the user's cache folder."""
    if cache is not None:
        return cache
    beside = source.absolute().parent / FOLDER
    if os.access(beside if beside.is_dir() else beside.parent, os.W_OK):
        return beside
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "clipscout" / "captions"
