"""Where questions are taken: opened subjects, one policy for all, and a limit on walks at once."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from clipscout.ask.answer import Answer
from clipscout.ask.models import LimitReached, Parts
from clipscout.ask.session import ask, make_question
from clipscout.ask.material import Subject, open_subject
from clipscout.serve.library import Entry
from data_gen.clips import SharedCache
from data_gen.frames import SegmentFrames
from evaluation.policies.endpoint import EndpointPolicy
from navigation import InputError, Limits, Policy, SegmentPath

_KEPT = 48
_FRAME_BYTES = 48_000_000


class Busy(Exception):
    """As many walks as are allowed are under way."""


@dataclass
class _Opened:
    subject: asyncio.Task[Subject]
    users: int = 0


@dataclass
class Desk:
    """Runs walks. Belongs to one event loop.

    Args:
        parts: Who does the work.
        policy: Who walks; shared by all walks.
        sessions: Walks at once; more are refused.
    """

    parts: Parts
    policy: Policy
    sessions: int = 64
    walking: int = 0
    finished: int = 0
    limit_reached: LimitReached | None = None
    _opened: OrderedDict[str, _Opened] = field(default_factory=OrderedDict)
    _frames: SharedCache[SegmentFrames] = field(
        default_factory=lambda: SharedCache(_FRAME_BYTES, lambda clip: clip.byte_count)
    )

    @contextlib.asynccontextmanager
    async def open(self, entry: Entry) -> AsyncIterator[Subject]:
        """The subject of an entry, opened once for all who want it at the time.

        Raises:
            InputError: it cannot be opened.
        """
        opened = self._opened.get(entry.key)
        if opened is None:
            # A task of its own: who came first may leave, the others still get it.
            opened = _Opened(asyncio.ensure_future(open_subject(entry.checked(), self.parts)))
            self._opened[entry.key] = opened
        self._opened.move_to_end(entry.key)
        opened.users += 1
        try:
            yield await asyncio.shield(opened.subject)
        finally:
            opened.users -= 1
            if opened.subject.done() and (opened.subject.cancelled() or opened.subject.exception() is not None):
                self._opened.pop(entry.key, None)
            await self._close_oldest()

    async def walk(self, entry: Entry, text: str, options: tuple[str, ...]) -> AsyncIterator[dict[str, Any] | Answer]:
        """Events of one walk in order, and at last its `Answer`. Leaving the iteration cancels the walk.

        Raises:
            Busy: too many walks are under way.
            LimitReached: the limit on money is reached; at once, where every walk costs, after one has met it.
            InputError: the question or the video is at fault, or a model that is needed does not answer.
        """
        if self.walking >= self.sessions:
            raise Busy
        if self.limit_reached is not None and isinstance(self.policy, EndpointPolicy):
            raise self.limit_reached
        self.walking += 1
        try:
            async with self.open(entry) as subject:
                question = make_question(subject, text, options)
                loop, queue = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()

                def tell(event: dict[str, Any] | None) -> None:
                    # A tool thread may outlive its walk, and the loop.
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(queue.put_nowait, event)

                task = asyncio.ensure_future(ask(subject, self.policy, question, tell, Limits(self.parts.turns)))
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
            self.walking -= 1

    async def frames(self, entry: Entry, path: SegmentPath) -> SegmentFrames | None:
        """Thumbnails of a segment, decoded once while they are kept; None without a video."""
        async with self.open(entry) as subject:
            if subject.video is None:
                return None

            async def decode() -> SegmentFrames:
                found = await subject.thumbnails(path)
                if found is None:
                    raise InputError(entry.name, "frames", None, "there is no video")
                return found

            return await self._frames.get((entry.key, path), decode)

    async def close(self) -> None:
        for opened in self._opened.values():
            if opened.subject.done() and not opened.subject.cancelled() and opened.subject.exception() is None:
                await opened.subject.result().close()
            else:
                opened.subject.cancel()
        self._opened.clear()

    async def _close_oldest(self) -> None:
        idle = [key for key, opened in self._opened.items() if not opened.users and opened.subject.done()]
        for key in idle[: max(0, len(self._opened) - _KEPT)]:
            await self._opened.pop(key).subject.result().close()
