"""Runs the episodes of all clients: sources opened once, one policy, a limit on episodes at once."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from clipscout.ask.answer import Answer
from clipscout.ask.session import ask, make_question
from clipscout.ask.settings import AskSettings, LimitReached
from clipscout.ask.video_source import VideoSource, open_source
from clipscout.serve.library import Entry
from data_gen.clips import SharedCache
from data_gen.frames import SegmentFrames
from evaluation.policies.endpoint import EndpointPolicy
from navigation import InputError, Limits, Policy, SegmentPath

_KEPT = 48
_FRAME_BYTES = 48_000_000


class Busy(Exception):
    """As many episodes as are allowed are under way."""


@dataclass
class _Opened:
    source: asyncio.Task[VideoSource]
    users: int = 0


@dataclass
class EpisodeRunner:
    """Runs episodes. Belongs to one event loop.

    Args:
        settings: Which models do the work.
        policy: Shared by all episodes.
        sessions: Episodes at once; more are refused.
    """

    settings: AskSettings
    policy: Policy
    sessions: int = 64
    playing: int = 0
    finished: int = 0
    limit_reached: LimitReached | None = None
    _opened: OrderedDict[str, _Opened] = field(default_factory=OrderedDict)
    _frames: SharedCache[SegmentFrames] = field(
        default_factory=lambda: SharedCache(_FRAME_BYTES, lambda clip: clip.byte_count)
    )

    @contextlib.asynccontextmanager
    async def open(self, entry: Entry) -> AsyncIterator[VideoSource]:
        """The source of an entry, opened once for all who want it at the time.

        Raises:
            InputError: it cannot be opened.
        """
        opened = self._opened.get(entry.key)
        if opened is None:
            # A task of its own: who came first may leave, the others still get it.
            opened = _Opened(asyncio.ensure_future(open_source(entry.checked(), self.settings)))
            self._opened[entry.key] = opened
        self._opened.move_to_end(entry.key)
        opened.users += 1
        try:
            yield await asyncio.shield(opened.source)
        finally:
            opened.users -= 1
            if opened.source.done() and (opened.source.cancelled() or opened.source.exception() is not None):
                self._opened.pop(entry.key, None)
            await self._close_oldest()

    async def episode(
        self, entry: Entry, text: str, options: tuple[str, ...]
    ) -> AsyncGenerator[dict[str, Any] | Answer]:
        """Events of one episode in order, and at last its `Answer`. Leaving the iteration cancels the episode.

        Raises:
            Busy: too many episodes are under way.
            LimitReached: the limit on money is reached; at once, where every episode costs, after one has met it.
            InputError: the question or the video is at fault, or a model that is needed does not answer.
        """
        if self.playing >= self.sessions:
            raise Busy
        if self.limit_reached is not None and isinstance(self.policy, EndpointPolicy):
            raise self.limit_reached
        self.playing += 1
        try:
            async with self.open(entry) as source:
                question = make_question(source, text, options)
                loop, queue = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()

                def tell(event: dict[str, Any] | None) -> None:
                    # A tool thread may outlive its episode, and the loop.
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(queue.put_nowait, event)

                task = asyncio.ensure_future(
                    ask(source, self.policy, question, tell, Limits(self.settings.turns), self.settings.tools)
                )
                task.add_done_callback(lambda _: tell(None))
                try:
                    while (event := await queue.get()) is not None:
                        yield event
                    try:
                        answer = task.result()
                    except LimitReached as error:
                        self.limit_reached = error
                        raise
                    self.finished += 1
                    yield answer
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
        finally:
            self.playing -= 1

    async def frames(self, entry: Entry, path: SegmentPath) -> SegmentFrames | None:
        """Thumbnails of a segment, decoded once while they are kept; None without a video."""
        async with self.open(entry) as source:
            if source.video is None:
                return None

            async def decode() -> SegmentFrames:
                found = await source.thumbnails(path)
                if found is None:
                    raise InputError(entry.name, "frames", None, "there is no video")
                return found

            return await self._frames.get((entry.key, path), decode)

    async def close(self) -> None:
        for opened in self._opened.values():
            if opened.source.done() and not opened.source.cancelled() and opened.source.exception() is None:
                await opened.source.result().close()
            else:
                opened.source.cancel()
        self._opened.clear()

    async def _close_oldest(self) -> None:
        idle = [key for key, opened in self._opened.items() if not opened.users and opened.source.done()]
        for key in idle[: max(0, len(self._opened) - _KEPT)]:
            await self._opened.pop(key).source.result().close()
