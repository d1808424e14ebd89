"""`video_qa` from the video itself: one leaf decoded from its keyframe and shown to a vision model."""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from data_gen.frames import Ask, FrameRecipe, SegmentFrames, VideoIndex, index_video
from data_gen.frames.passage import Passage
from data_gen.frames.video_files import find_videos
from navigation import CaptionTree, InputError, SegmentPath
from navigation.grid import clock, sample_times
from runtime import (
    Completion,
    Endpoint,
    EndpointDown,
    EndpointFailed,
    EndpointSettings,
    PriceTable,
    Unacceptable,
    Usage,
)
from runtime.budget import PRICES


def leaf_frames(
    index: VideoIndex, start: float, end: float, count: int, side: int, quality: int = 75, path: tuple[int, ...] = ()
) -> SegmentFrames:
    """`count` JPEGs from the middles of equal parts of `[start, end)`, the frames on screen at those times.

    The same frames as of a pass over the whole video, and by the same code: the container is sought to the first wanted
    frame's group of pictures (if that is open, to the one before, to which it refers), or read from its beginning where
    seeking fails or leads past that. A frame that cannot be decoded is replaced by the one before it.

    Args:
        index: Of the video.
        start, end: Seconds.
        count: Frames.
        side: Longest side in px; frames are never enlarged.
        quality: JPEG quality.
        path: Kept in the result.

    Raises:
        InputError: no wanted frame can be decoded or made a JPEG.
    """
    times = sample_times(start, end, count)
    needed = np.zeros(len(index.pts), dtype=bool)
    needed[index.shown_at(np.array(times))] = True
    asks = (Ask(time, path, position) for position, time in enumerate(times))
    passage = Passage(index, asks, needed, lambda path: (count, side), quality)
    (found,) = passage.run()
    if passage.replaced == count:
        what = f"no frame between {start:.1f} and {end:.1f} s can be decoded"
        raise InputError(index.path, "video stream", what, "copy or download the video again")
    return found


Value = TypeVar("Value")


class SharedCache(Generic[Value]):
    """Least recently used values, dropped when their sizes sum to more than `limit`. For one event loop.

    A value that could not be made raises for all who waited for it, and is made anew for the next.

    Args:
        limit: Sum of sizes; at least the newest value stays.
        size_of: Size of a value.
    """

    def __init__(self, limit: int, size_of: Callable[[Value], int]) -> None:
        self.limit, self._size_of = limit, size_of
        self.size = self.made = self.shared = 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._underway: dict[Hashable, asyncio.Task[Value]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key, from the cache, from whoever is making it, or from `make`."""
        if key in self._values:
            self.shared += 1
            self._values.move_to_end(key)
            return self._values[key]
        task = self._underway.get(key)
        if task is None:
            # A task of its own: if the one who asked first is cancelled, the others still get it.
            task = asyncio.ensure_future(self._make(key, make))
            self._underway[key] = task
        else:
            self.shared += 1
        return await asyncio.shield(task)

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        try:
            value = await make()
        finally:
            del self._underway[key]
        self.made += 1
        self._values[key] = value
        self.size += self._size_of(value)
        while self.size > self.limit and len(self._values) > 1:
            _, old = self._values.popitem(last=False)
            self.size -= self._size_of(old)
        return value


CLIP_RECIPE = FrameRecipe((16,), (1024,), 75)
"""LongVideo-R1's `video_qa`: 16 frames, long side 1024 px."""

MORE_ROOM = 4
"""An answer cut for want of room is asked for with up to so many times the room; cut then, it has failed."""
PROMPT = (
    "These {count} frames show a clip of a video, from {start} to {end}, in order. Answer from what you see, in "
    "at most 60 words; say so if the clip does not show it.\n{query}"
)

AskModel = Callable[[str, Callable[[], Awaitable[list[dict[str, Any]]]]], Awaitable[str]]
"""`ask(key, make_messages)`: the model's answer. Messages are made only if the answer is not known already."""


def clip_settings(model: str, recipe: FrameRecipe = CLIP_RECIPE) -> dict[str, Any]:
    """What decides an answer besides the clip and the query; compared when a run goes on."""
    prompt = hashlib.sha256(PROMPT.encode()).hexdigest()
    return {"model": model, "frames": recipe.to_dict(), "prompt_sha256": prompt}


class ClipEndpointAnswerer:
    """Answers about leaves of the videos in a folder. Call `answer` from worker threads, never from the loop's own.

    Each leaf is decoded once while it is in the cache, whoever asks; the same query on the same leaf is asked once.

    Args:
        videos: Folder of video files, `<video_id>.<suffix>`.
        ask: Who is asked; runs on `loop`.
        loop: The event loop that requests run on.
        recipe: Frames of a clip.
        cache_bytes: Bound on the JPEGs that are kept.
        decoding: Clips decoded at once, a thread each.
    """

    def __init__(
        self,
        videos: str | Path,
        ask: AskModel,
        loop: asyncio.AbstractEventLoop,
        recipe: FrameRecipe = CLIP_RECIPE,
        cache_bytes: int = 64_000_000,
        decoding: int = 2,
    ) -> None:
        self.videos = Path(videos)
        self.recipe = recipe
        self._files = {video.id: video.path for video in find_videos(self.videos)[0]}
        self._ask, self._loop = ask, loop
        self._threads = ThreadPoolExecutor(decoding, "clip")
        self._indices: SharedCache[VideoIndex] = SharedCache(64_000_000, lambda index: index.byte_count)
        self.clips: SharedCache[SegmentFrames] = SharedCache(cache_bytes, lambda clip: clip.byte_count)
        self.answers: SharedCache[str] = SharedCache(16_000_000, len)

    def __enter__(self) -> "ClipEndpointAnswerer":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def answer(self, tree: CaptionTree, path: SegmentPath, query: str) -> str:
        """The model's answer.

        Raises:
            InputError: the folder has no such video, or the clip cannot be decoded.
        """
        return asyncio.run_coroutine_threadsafe(self._answer(tree, path, query), self._loop).result()

    async def _answer(self, tree: CaptionTree, path: SegmentPath, query: str) -> str:
        # The key holds the span, so that another tree of the same video does not share answers with this one.
        start, end = tree.grid.interval(path)
        digest = hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        key = f"clip/{tree.video_id}/{start:.3f}-{end:.3f}/{digest}"

        async def messages() -> list[dict[str, Any]]:
            clip = await self.clips.get((tree.video_id, start, end), lambda: self._decode(tree.video_id, start, end))
            text = PROMPT.format(count=len(clip.jpegs), start=clock(start), end=clock(end), query=query)
            images = [{"type": "image_url", "image_url": {"url": jpeg}} for jpeg in clip.jpegs]
            return [{"role": "user", "content": [{"type": "text", "text": text}, *images]}]

        return await self.answers.get(key, lambda: self._ask(key, messages))

    async def _decode(self, video_id: str, start: float, end: float) -> SegmentFrames:
        file = self._files.get(video_id)
        if file is None:
            raise InputError(self.videos, "video_id", video_id, "put this video's file into the folder")
        index = await self._indices.get(video_id, lambda: self._in_thread(index_video, file))
        if start >= index.duration:
            hint = f"the tree has a segment from {start:.1f} s on: give the video that the tree was made from"
            raise InputError(file, "duration", index.duration, hint)
        count, side = self.recipe.frames[0], self.recipe.sides[0]
        return await self._in_thread(leaf_frames, index, start, end, count, side, self.recipe.quality)

    async def _in_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


class ClipService:
    """A `ClipAnswerer` over a folder of videos and a vision model. Picklable: each process starts its own thread.

    Args:
        videos: Folder of video files.
        endpoint: The vision model.
        max_tokens: Of an answer.
        prices: Price table.
    """

    def __init__(
        self, videos: str | Path, endpoint: EndpointSettings, max_tokens: int = 256, prices: Path = PRICES
    ) -> None:
        self.videos, self.endpoint, self.max_tokens, self.prices = Path(videos), endpoint, max_tokens, prices
        self._lock = threading.Lock()
        self._answerer: ClipEndpointAnswerer | None = None
        self.usage = Usage()
        """Of this process's requests, the failed ones included."""

    def __reduce__(self) -> tuple[Any, ...]:
        return ClipService, (self.videos, self.endpoint, self.max_tokens, self.prices)

    def answer(self, tree: CaptionTree, path: SegmentPath, query: str) -> str:
        """The model's answer. Raises EndpointFailed or EndpointDown if there is none."""
        with self._lock:
            if self._answerer is None:
                self._answerer = self._start()
        return self._answerer.answer(tree, path, query)

    def _start(self) -> ClipEndpointAnswerer:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="clips", daemon=True).start()

        async def begin() -> Endpoint:
            return Endpoint(self.endpoint, PriceTable(self.prices))

        endpoint = asyncio.run_coroutine_threadsafe(begin(), loop).result()

        async def ask(key: str, make_messages: Callable[[], Awaitable[list[dict[str, Any]]]]) -> str:
            messages, longest = await make_messages(), MORE_ROOM * self.max_tokens
            try:
                completion = await endpoint.chat(
                    messages, self.max_tokens, accept_text, longest=longest, temperature=0.0
                )
            except (EndpointFailed, EndpointDown) as error:
                self.usage += error.usage
                raise
            self.usage += completion.usage
            return completion.text

        return ClipEndpointAnswerer(self.videos, ask, loop)


def accept_text(completion: Completion) -> None:
    """Refuses an empty answer, so that it is asked for again."""
    if not completion.text:
        raise Unacceptable("empty answer about a clip")
