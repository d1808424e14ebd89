"""What the page asks the server: the list, a segment, its frames, and an episode as server-sent events."""

import re
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from clipscout.ask.session import overview
from clipscout.serve.episodes import Busy, EpisodeRunner
from clipscout.serve.library import Entry, Library
from clipscout.serve.requests import event, json_body, json_reply, kept_alive, read_options, text_of
from clipscout.web.pages import sanitize_all
from navigation import InputError, SegmentPath

LISTED = 200
_ADDRESS = re.compile(r"[1-9]\d{0,3}(?:-[1-9]\d{0,3}){0,31}", re.ASCII)


class PageApi:
    """Routes below `/api`. Texts in replies have lost what could steer their reader; the page sets them as text."""

    def __init__(self, library: Library, runner: EpisodeRunner) -> None:
        self.library, self.runner = library, runner
        self.routes = [
            Route("/api/videos", self.videos),
            Route("/api/videos/{key}", self.video),
            Route("/api/videos/{key}/segments/{address}", self.segment),
            Route("/api/videos/{key}/segments/{address}/frames/{number:int}.jpg", self.frame),
            Route("/api/ask", self.ask, methods=["POST"]),
        ]

    async def videos(self, request: Request) -> Response:
        found, count = self.library.find(request.query_params.get("text", "")[:200], LISTED)
        videos = [{"key": entry.key, "name": entry.name, "kind": entry.kind} for entry in found]
        return json_reply(sanitize_all({"videos": videos, "count": count}))

    async def video(self, request: Request) -> Response:
        entry = self._entry(request)
        async with self.runner.open(entry) as source:
            grid = source.tree.grid
            shape = {"duration": grid.duration, "width": grid.width, "depth": grid.depth}
            record = {"key": entry.key, "name": entry.name, "kind": entry.kind, **shape}
            record |= {"frames": source.video is not None, "notes": source.notes}
            record["made_by"] = str(source.tree.made_by.get("captioner", ""))
            return json_reply(sanitize_all(record))

    async def segment(self, request: Request) -> Response:
        entry, path = self._entry(request), self._path(request)
        async with self.runner.open(entry) as source:
            record: dict[str, Any] = overview(source, path)
            record["known"] = source.known(path) is not None
            record["lines"] = [
                {"start": line.start, "end": line.end, "text": line.text} for line in source.tree.lines_in(path)[:40]
            ]
        try:
            frames = await self.runner.frames(entry, path)
            record["times"] = frames.shown if frames is not None else []
        except InputError as error:
            record |= {"times": [], "frames_error": str(error)}
        return json_reply(sanitize_all(record))

    async def frame(self, request: Request) -> Response:
        frames = await self.runner.frames(self._entry(request), self._path(request))
        number = request.path_params["number"]
        if frames is None or number >= len(frames.jpegs):
            return json_reply({"error": {"message": "there is no such frame"}}, 404)
        return Response(
            frames.jpegs[number], media_type="image/jpeg", headers={"cache-control": "private, max-age=600"}
        )

    async def ask(self, request: Request) -> Response:
        body = await json_body(request)
        entry = self.library.get(text_of(body, "video"))
        question, options = text_of(body, "question"), read_options(body)
        episode = self.runner.episode(entry, question, options)
        try:
            # The first event before the status line: what is wrong with the request can still be said in it.
            first = await anext(episode)
        except BaseException:
            await episode.aclose()
            raise

        async def stream() -> AsyncIterator[bytes]:
            assert isinstance(first, dict)
            yield event(sanitize_all(first), first["type"])
            items = kept_alive(episode)
            try:
                async for item in items:
                    if item is None:
                        yield b": waiting\n\n"
                    elif isinstance(item, dict):
                        yield event(sanitize_all(item), item["type"])
            except InputError as error:
                yield event(sanitize_all({"type": "error", "message": str(error)}), "error")
            except Busy:
                yield event({"type": "error", "message": "too many episodes at once"}, "error")
            finally:
                await items.aclose()

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    def _entry(self, request: Request) -> Entry:
        return self.library.get(request.path_params["key"])

    def _path(self, request: Request) -> SegmentPath:
        address = request.path_params["address"]
        if not _ADDRESS.fullmatch(address):
            raise InputError("serve", "segment", address[:80], "give numbers with - between, for example 2-5-1")
        return tuple(int(number) for number in address.split("-"))
