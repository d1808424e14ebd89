"""What the page asks the server: the list, a segment, its frames, and an episode as server-sent events."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from clipscout.ask.session import overview
from clipscout.ask.settings import ModelUnavailable
from clipscout.serve.episodes import Busy, EpisodeRunner
from clipscout.serve.library import Entry, Library
from clipscout.serve.requests import event, json_body, json_reply, kept_alive, read_options, text_of
from clipscout.web.pages import sanitize_all
from navigation import InputError, SegmentPath

LISTED = 200
KEPT = 300
"""Answers that the server holds while it runs."""
_ADDRESS = re.compile(r"[1-9]\d{0,3}(?:-[1-9]\d{0,3}){0,31}", re.ASCII)


class PageApi:
    """Routes below `/api`. Texts in replies have lost what could steer their reader; the page sets them as text."""

    def __init__(self, library: Library, runner: EpisodeRunner) -> None:
        self.library, self.runner = library, runner
        self.answers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.routes = [
            Route("/api/videos", self.videos),
            Route("/api/video", self.video),
            Route("/api/videos/{key}", self.video),
            Route("/api/videos/{key}/segments/{address}", self.segment),
            Route("/api/videos/{key}/segments/{address}/frames/{number:int}.jpg", self.frame),
            Route("/api/ask", self.ask, methods=["POST"]),
            Route("/api/answers/{id}", self.answer),
        ]

    async def videos(self, request: Request) -> Response:
        found, count = self.library.find(request.query_params.get("text", "")[:200], LISTED)
        videos = await asyncio.to_thread(lambda: [self._listed(entry) for entry in found])
        return json_reply(sanitize_all({"videos": videos, "count": count}))

    def _listed(self, entry: Entry) -> dict[str, Any]:
        examples = [{"question": each.question, "options": list(each.options)} for each in self.library.examples(entry)]
        listed = {"key": entry.key, "name": entry.name, "kind": entry.kind}
        return listed | {"duration": self.library.duration(entry), "examples": examples}

    async def video(self, request: Request) -> Response:
        entry = self._entry(request)
        async with self.runner.open(entry) as source:
            grid = source.tree.grid
            shape = {"duration": grid.duration, "width": grid.width, "depth": grid.depth}
            record = await asyncio.to_thread(self._listed, entry) | shape
            record |= {"frames": source.video is not None, "notes": source.notes}
            record["made_by"] = str(source.tree.made_by.get("captioner", ""))
            return json_reply(sanitize_all(record))

    async def answer(self, request: Request) -> Response:
        found = self.answers.get(request.path_params["id"])
        if found is None:
            raise HTTPException(404, "this server does not hold that answer (any more): ask the question again")
        return json_reply(found)

    async def segment(self, request: Request) -> Response:
        entry, path = self._entry(request), self._path(request)
        async with self.runner.open(entry) as source:
            record: dict[str, Any] = overview(source, path)
            record["known"] = source.known(path) is not None
            record["lines"] = [
                {"start": line.start, "end": line.end, "text": line.told} for line in source.tree.lines_in(path)[:40]
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
            told = [sanitize_all(first)]
            yield event(told[0], first["type"])
            items = kept_alive(episode)
            try:
                async for item in items:
                    if item is None:
                        yield b": waiting\n\n"
                    elif isinstance(item, dict):
                        told.append(sanitize_all(item))
                        yield event(told[-1], item["type"])
                self._keep(entry, told)
            except InputError as error:
                yield event(sanitize_all({"type": "error", "message": plainly(error)}), "error")
            except Busy:
                yield event({"type": "error", "message": "too many episodes at once"}, "error")
            finally:
                await items.aclose()

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    def _keep(self, entry: Entry, told: list[dict[str, Any]]) -> None:
        """Events of a finished episode, for its address; the oldest go first."""
        self.answers[told[0]["id"].rpartition("/")[2]] = {"video": entry.key, "events": told}
        while len(self.answers) > KEPT:
            self.answers.popitem(last=False)

    def _entry(self, request: Request) -> Entry:
        # A name may hold slashes, which a path cannot.
        return self.library.get(request.path_params.get("key") or request.query_params.get("name", ""))

    def _path(self, request: Request) -> SegmentPath:
        address = request.path_params["address"]
        if not _ADDRESS.fullmatch(address):
            raise InputError("serve", "segment", address[:80], "give numbers with - between, for example 2-5-1")
        return tuple(int(number) for number in address.split("-"))


def plainly(error: InputError) -> str:
    """What went wrong, for the reader of a page: that no model answers is said first and in words."""
    if not isinstance(error, ModelUnavailable):
        return str(error)
    who = "that chooses what to open" if error.field == "policy" else "that writes captions or looks at clips"
    return (
        f"No model answers: the one {who} cannot be reached ({error.value}). {error.hint[:1].upper()}{error.hint[1:]}"
    )
