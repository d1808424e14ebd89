"""What is asked about: a video, a subtitle file or a caption tree, with what captions and answers its clips."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clipscout.ask.settings import CAPTION_START, STUB_START, AskSettings
from data_gen.captions import EndpointCaptioner, LinesCaptioner, OnDemandCaptions
from data_gen.captions.captioner import Captioner
from data_gen.captions.on_demand import cache_beside
from data_gen.captions.settings import LINES
from data_gen.clips import MORE_ROOM, ClipEndpointAnswerer, accept_text
from data_gen.frames import VIDEO_SUFFIXES, FrameRecipe, SegmentFrames, VideoIndex, index_video, segment_frames
from data_gen.lines import SUBTITLES, SUFFIXES, Subtitles, TimedLines
from data_gen.lines.make import finished, lines_of, sources_of
from longvideo_r1.caption_files import import_released
from navigation import SEARCH, CaptionTree, ClipAnswerer, InputError, LineAnswerer, Search, SegmentPath
from runtime import BudgetExceeded, EndpointDown, EndpointFailed, Progress, Usage, file_identity, settings_hash

THUMBNAIL = FrameRecipe((4,), (256,), 70)
"""Frames shown of a segment, whatever its level."""


@dataclass
class VideoSource:
    """One opened source. Open it with `open_source`, in the event loop that it is used on.

    Attributes:
        file: Where it came from.
        tree: Its tree; captions may appear while it is read.
        answerer: Who answers `video_qa`.
        notes: What is missing and how to get it, in words.
    """

    file: Path
    tree: CaptionTree
    answerer: ClipAnswerer
    notes: list[str] = field(default_factory=list)
    on_demand: OnDemandCaptions | None = None
    video: Path | None = None
    clip_usage: Usage = field(default_factory=Usage)
    captions_cost: bool = False
    search: Search = field(default_factory=Search)
    _index: VideoIndex | None = None
    _closers: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    @property
    def usage(self) -> Usage:
        """What captions and clips have cost so far, by this process."""
        return self.clip_usage + (self.on_demand.usage if self.on_demand is not None else Usage())

    async def prepare(self) -> None:
        """Captions the top level, which every policy sees before its first visit."""
        if self.on_demand is not None:
            try:
                await self.on_demand.captions_of(self.tree.grid.paths(1))
            except ExceptionGroup as group:
                # The first of them says it all, and is one that callers know.
                error: Exception = group
                while isinstance(error, ExceptionGroup):
                    error = error.exceptions[0]
                raise error from None

    def known(self, path: SegmentPath) -> str | None:
        """A caption that is there already; nothing is made."""
        # `get` would make the caption of an on-demand tree.
        return self.tree.captions[path] if path in self.tree.captions else None  # noqa: SIM401

    async def thumbnails(self, path: SegmentPath, recipe: FrameRecipe = THUMBNAIL) -> SegmentFrames | None:
        """Frames of a segment, decoded anew; None without a video.

        Raises:
            InputError: the segment is not in the tree, or cannot be decoded.
        """
        self.tree.grid.index(path)
        if self.video is None:
            return None
        async with self._decoding:
            if self._index is None:
                self._index = await asyncio.to_thread(index_video, self.video, True)
            return await asyncio.to_thread(self._decode, path, recipe)

    def _decode(self, path: SegmentPath, recipe: FrameRecipe) -> SegmentFrames:
        assert self._index is not None
        (found,) = segment_frames(self._index, self.tree.grid, recipe, {path})
        return found

    async def close(self) -> None:
        await self._closers.aclose()

    async def __aenter__(self) -> "VideoSource":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class SourceTree(Mapping[str, CaptionTree]):
    """A source's tree where a folder of trees is expected."""

    def __init__(self, source: VideoSource) -> None:
        self._source = source

    def __getitem__(self, video_id: str) -> CaptionTree:
        if video_id != self._source.tree.video_id:
            raise KeyError(video_id)
        return self._source.tree

    def __iter__(self) -> Iterator[str]:
        return iter([self._source.tree.video_id])

    def __len__(self) -> int:
        return 1


async def open_source(file: Path, settings: AskSettings, video: Path | None = None) -> VideoSource:
    """Opens a video, an SRT or VTT file, a caption tree or a released caption file.

    Args:
        file: The file.
        settings: Who captions and who looks at clips.
        video: The video of a caption tree, for frames and clips; default: one of the same name beside it.

    Raises:
        InputError: what is missing and how to start it, or what is wrong with the file.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError("ask", "video", str(file), "give a video, an SRT or VTT file, or a caption tree that exists")
    search = Search(settings.search)
    if SEARCH in settings.tools:
        await asyncio.to_thread(search.prepare)
    suffix = file.suffix.lower()
    if suffix == ".json":
        source = await _of_tree(file, video)
    elif suffix in SUFFIXES:
        source = await _on_demand(file, replace(settings, captioner=type(settings.captioner)()))
        if video is not None:
            source.video, source.tree = video, _named_after(source.tree, video)
    elif suffix in VIDEO_SUFFIXES:
        source = await _on_demand(file, settings)
    else:
        hint = "give a video, an .srt or .vtt file, or a .json caption tree"
        raise InputError("ask", "video", str(file), hint)
    source.search = search
    _look_at_clips(source, settings)
    return source


async def _of_tree(file: Path, video: Path | None) -> VideoSource:
    tree = await asyncio.to_thread(_load, file)
    if video is None:
        beside = (file.with_suffix(suffix) for suffix in sorted(VIDEO_SUFFIXES))
        video = next((path for path in beside if path.is_file()), None)
    if video is not None:
        tree = _named_after(tree, video)
    source = VideoSource(file, tree, LineAnswerer(), video=video)
    missing = len(tree.missing())
    if missing:
        source.notes.append(f"{missing} of {tree.grid.segment_count} segments have no caption: they cannot be opened.")
    if video is None:
        source.notes.append("No video beside the tree: no frames are shown. --video gives it.")
    return source


def _named_after(tree: CaptionTree, video: Path) -> CaptionTree:
    """The tree under the name by which clips are found."""
    return replace(tree, video_id=video.stem)


def _load(file: Path) -> CaptionTree:
    try:
        return CaptionTree.load(file)
    except InputError as error:
        if error.field != "video_id":
            raise
    return import_released(file)


async def _on_demand(file: Path, settings: AskSettings) -> VideoSource:
    server = settings.captioner.endpoint_settings("caption")
    timed = await asyncio.to_thread(_lines, file, settings)
    if server is None and timed is None:
        hint = (
            "this video has no subtitles beside it, so a vision model must caption what is opened. Start one, for "
            f"example `{CAPTION_START}`, and pass --caption-url http://localhost:8001/v1 --caption-model "
            f"Qwen/Qwen2.5-VL-7B-Instruct (to try without a model: `{STUB_START}`, --caption-model stub). Or put "
            f"{file.stem}.srt beside the video. Or have it heard and read: --lines speech,screen --speech-model "
            "small.en"
        )
        raise InputError(file, "captions", "nobody to write them", hint)
    of_subtitles = timed is None or all(line.source == SUBTITLES for line in timed.lines)
    captioning = settings.caption_settings("subtitles" if of_subtitles else LINES)
    closers = contextlib.AsyncExitStack()
    captioner: Captioner = LinesCaptioner(captioning)
    if server is not None:
        captioner = EndpointCaptioner(await closers.enter_async_context(settings.endpoint(server)), captioning)
    try:
        on_demand = await OnDemandCaptions.open(file, captioner, captioning, timed, settings.cache)
    except BaseException:
        await closers.aclose()
        raise
    source = VideoSource(
        file,
        on_demand.tree,
        LineAnswerer(),
        on_demand=on_demand,
        video=file if on_demand.index is not None and on_demand.index.has_pictures else None,
        captions_cost=server is not None,
        _index=on_demand.index,
        _closers=closers,
    )
    source.notes += on_demand.warnings
    if server is None:
        told = "the subtitles" if of_subtitles else "what is said and shown as text"
        source.notes.append(f"Captions are {told}: what is only seen is not in them. --caption-url adds sight.")
    return source


def _lines(file: Path, settings: AskSettings) -> TimedLines | None:
    """The timed lines of a video or a subtitle file; None if nothing gives any."""
    if file.suffix.lower() in SUFFIXES:
        return Subtitles(file).read()
    if finished(file) is None and not sources_of(file, settings.lines):
        return None
    name = settings_hash({**file_identity(file), **settings.lines.to_dict()})[:24]
    journal = cache_beside(file, settings.cache) / "lines" / f"{name}.jsonl"
    progress = Progress("seconds of video", stream=sys.stderr) if settings.lines.makes else None
    return lines_of(file, settings.lines, journal, progress=progress)


def _look_at_clips(source: VideoSource, settings: AskSettings) -> None:
    """Lets a vision model answer `video_qa` where there is a video and a model."""
    server = settings.clip_server.endpoint_settings("clip" if settings.clips.url or settings.clips.model else "caption")
    if source.video is None or server is None:
        if source.video is not None:
            source.notes.append("No vision model: video_qa answers from timed texts. --clip-url gives one.")
        return
    endpoint = settings.endpoint(server)
    source._closers.push_async_exit(endpoint.__aexit__)

    async def ask(key: str, make_messages: Callable[[], Awaitable[list[dict[str, Any]]]]) -> str:
        try:
            completion = await endpoint.chat(
                await make_messages(), 256, accept_text, longest=MORE_ROOM * 256, temperature=0.0
            )
        except (EndpointFailed, EndpointDown, BudgetExceeded) as error:
            source.clip_usage += error.usage
            raise
        source.clip_usage += completion.usage
        return completion.text

    answerer = ClipEndpointAnswerer(source.video, ask, asyncio.get_running_loop())
    source._closers.enter_context(answerer)
    source.answerer = answerer
