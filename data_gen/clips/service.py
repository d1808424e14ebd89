"""The answerer with an event loop of its own, for programs that have none: evaluation, GRPO, `clipscout ask`."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from data_gen.clips.endpoint_answerer import ClipEndpointAnswerer
from navigation import CaptionTree, SegmentPath
from runtime import Completion, Endpoint, EndpointSettings, Unacceptable


class ClipService:
    """A `ClipAnswerer` over a folder of videos and a vision model. Picklable: each process starts its own thread.

    Args:
        videos: Folder of video files.
        endpoint: The vision model.
        max_tokens: Of an answer.
    """

    def __init__(self, videos: str | Path, endpoint: EndpointSettings, max_tokens: int = 256) -> None:
        self.videos, self.endpoint, self.max_tokens = Path(videos), endpoint, max_tokens
        self._lock = threading.Lock()
        self._answerer: ClipEndpointAnswerer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"videos": self.videos, "endpoint": self.endpoint, "max_tokens": self.max_tokens}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

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
            return Endpoint(self.endpoint)

        endpoint = asyncio.run_coroutine_threadsafe(begin(), loop).result()

        async def ask(key: str, make_messages: Callable[[], Awaitable[list[dict[str, Any]]]]) -> str:
            completion = await endpoint.chat(await make_messages(), self.max_tokens, accept_text, temperature=0.0)
            return completion.text

        return ClipEndpointAnswerer(self.videos, ask, loop)


def accept_text(completion: Completion) -> None:
    """Refuses an empty answer, so that it is asked for again."""
    if not completion.text:
        raise Unacceptable("empty answer about a clip")
