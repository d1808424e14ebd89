"""What is asked about: a video, a subtitle file or a caption tree, with whatever can be known of it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clipscout.ask.models import CAPTION_START, STUB_START, Parts
from data_gen.captions import EndpointCaptioner, LinesCaptioner
from data_gen.captions.on_demand import OnDemandCaptions
from data_gen.captions.subtitles import SUFFIXES, find_subtitles
from data_gen.clips import ClipEndpointAnswerer, accept_text
from data_gen.frames import VIDEO_SUFFIXES, FrameRecipe, SegmentFrames, VideoIndex, index_video, segment_frames
from longvideo_r1.caption_files import import_released
from navigation import CaptionTree, ClipAnswerer, InputError, LineAnswerer, SegmentPath
from runtime import Usage

THUMBNAIL = FrameRecipe((4,), (256,), 70)
"""Frames shown of a segment, whatever its level."""


@dataclass
class Material:
    """One opened source. Make it with `open_subject`, in the event loop that it is used on.

    Attributes:
        source: The file it came from.
        tree: Its tree; captions may appear while it is read.
        answerer: Who answers `video_qa`.
        notes: What is missing and how to get it, in words.
    """

    source: Path
    tree: CaptionTree
    answerer: ClipAnswerer
    notes: list[str] = field(default_factory=list)
    on_demand: OnDemandCaptions | None = None
    video: Path | None = None
    clip_usage: Usage = field(default_factory=Usage)
    captions_cost: bool = False
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
                self._index = await asyncio.to_thread(index_video, self.video)
            return await asyncio.to_thread(self._decode, path, recipe)

    def _decode(self, path: SegmentPath, recipe: FrameRecipe) -> SegmentFrames:
        assert self._index is not None
        (found,) = segment_frames(self._index, self.tree.grid, recipe, {path})
        return found

    async def close(self) -> None:
        await self._closers.aclose()

    async def __aenter__(self) -> "Material":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class OneTree(Mapping[str, CaptionTree]):
    """A subject's tree where a folder of trees is expected."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def __getitem__(self, video_id: str) -> CaptionTree:
        if video_id != self._material.tree.video_id:
            raise KeyError(video_id)
        return self._material.tree

    def __iter__(self) -> Iterator[str]:
        return iter([self._material.tree.video_id])

    def __len__(self) -> int:
        return 1


async def open_material(source: Path, parts: Parts, video: Path | None = None) -> Material:
    """Opens a video, an SRT or VTT file, a caption tree or a released caption file.

    Args:
        source: The file.
        parts: Who captions and who looks at clips.
        video: The video of a caption tree, for frames and clips; default: one of the same name beside it.

    Raises:
        InputError: what is missing and how to start it, or what is wrong with the file.
    """
    source = Path(source)
    if not source.is_file():
        raise InputError("ask", "video", str(source), "give a video, an SRT or VTT file, or a caption tree that exists")
    suffix = source.suffix.lower()
    if suffix == ".json":
        material = await _of_tree(source, video)
    elif suffix in SUFFIXES:
        material = await _on_demand(source, replace(parts, captioner=type(parts.captioner)()))
        if video is not None:
            material.video, material.tree = video, _named_after(material.tree, video)
    elif suffix in VIDEO_SUFFIXES:
        material = await _on_demand(source, parts)
    else:
        hint = "give a video, an .srt or .vtt file, or a .json caption tree"
        raise InputError("ask", "video", str(source), hint)
    _look_at_clips(material, parts)
    return material


async def _of_tree(source: Path, video: Path | None) -> Material:
    tree = await asyncio.to_thread(_load, source)
    if video is None:
        beside = (source.with_suffix(suffix) for suffix in sorted(VIDEO_SUFFIXES))
        video = next((path for path in beside if path.is_file()), None)
    if video is not None:
        tree = _named_after(tree, video)
    material = Material(source, tree, LineAnswerer(), video=video)
    missing = len(tree.missing())
    if missing:
        material.notes.append(
            f"{missing} of {tree.grid.segment_count} segments have no caption: they cannot be opened."
        )
    if video is None:
        material.notes.append("No video beside the tree: no frames are shown. --video gives it.")
    return material


def _named_after(tree: CaptionTree, video: Path) -> CaptionTree:
    """The tree under the name by which clips are found."""
    return replace(tree, video_id=video.stem)


def _load(source: Path) -> CaptionTree:
    try:
        return CaptionTree.load(source)
    except InputError as error:
        if error.field != "video_id":
            raise
    return import_released(source)


async def _on_demand(source: Path, parts: Parts) -> Material:
    settings = parts.caption_settings()
    closers = contextlib.AsyncExitStack()
    if settings.captioner == "endpoint":
        server = parts.captioner.settings("caption")
        captioner: Any = EndpointCaptioner(await closers.enter_async_context(parts.endpoint(server)), settings)
    else:
        if source.suffix.lower() not in SUFFIXES and find_subtitles(source) is None:
            raise InputError(
                source, "captions", "nobody to write them",
                "this video has no subtitles beside it, so a vision model must caption what is opened. Start one, for "
                f"example `{CAPTION_START}`, and pass --caption-url http://localhost:8001/v1 --caption-model "
                f"Qwen/Qwen2.5-VL-7B-Instruct (to try without a model: `{STUB_START}`, --caption-model stub). Or put "
                f"{source.stem}.srt beside the video",
            )  # fmt: skip
        captioner = LinesCaptioner(settings)
    try:
        on_demand = await OnDemandCaptions.open(source, captioner, settings, cache=parts.cache)
    except BaseException:
        await closers.aclose()
        raise
    is_video = source.suffix.lower() not in SUFFIXES
    material = Material(
        source, on_demand.tree, LineAnswerer(), on_demand=on_demand, video=source if is_video else None,
        captions_cost=settings.captioner == "endpoint", _closers=closers, _index=on_demand.index,
    )  # fmt: skip
    material.notes += on_demand.warnings
    if settings.captioner != "endpoint":
        material.notes.append("Captions are the subtitles: what is only seen is not in them. --caption-url adds sight.")
    return material


def _look_at_clips(material: Material, parts: Parts) -> None:
    """Lets a vision model answer `video_qa` where there is a video and a model."""
    server = parts.clip_server.settings("clip" if parts.clips.url or parts.clips.model else "caption")
    if material.video is None or server is None:
        if material.video is not None:
            material.notes.append("No vision model: video_qa answers from timed texts. --clip-url gives one.")
        return
    endpoint = parts.endpoint(server)
    material._closers.push_async_exit(endpoint.__aexit__)

    async def ask(key: str, make_messages: Callable[[], Awaitable[list[dict[str, Any]]]]) -> str:
        completion = await endpoint.chat(await make_messages(), 256, accept_text, temperature=0.0)
        material.clip_usage += completion.usage
        return completion.text

    answerer = ClipEndpointAnswerer(material.video, ask, asyncio.get_running_loop())
    material._closers.enter_context(answerer)
    material.answerer = answerer
