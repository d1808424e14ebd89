"""`video_qa` answered by a vision model that sees the leaf's frames."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_gen.captions.video_files import find_videos
from data_gen.clips.leaf_frames import leaf_frames
from data_gen.clips.shared_cache import SharedCache
from data_gen.frames import FrameRecipe, SegmentFrames, VideoIndex, index_video
from navigation import CaptionTree, InputError, SegmentPath
from navigation.grid import clock

CLIP_RECIPE = FrameRecipe((16,), (1024,), 75)
"""LongVideo-R1's `video_qa`: 16 frames, long side 1024 px."""

PROMPT = (
    "These {count} frames show a clip of a video, from {start} to {end}, in order. Answer from what you see, in "
    "at most 60 words; say so if the clip does not show it.\n{query}"
)

Ask = Callable[[str, Callable[[], Awaitable[list[dict[str, Any]]]]], Awaitable[str]]
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
        ask: Ask,
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
        self._indices: SharedCache[VideoIndex] = SharedCache(64_000_000, lambda index: index.pts.nbytes)
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
            mend = f"the tree has a segment from {start:.1f} s on: give the video that the tree was made from"
            raise InputError(file, "duration", index.duration, mend)
        count, side = self.recipe.frames[0], self.recipe.sides[0]
        return await self._in_thread(leaf_frames, index, start, end, count, side, self.recipe.quality)

    async def _in_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
