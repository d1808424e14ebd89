"""The agent as a chat model: `/v1/models` and `/v1/chat/completions`, streamed and not.

Which video: the extra field `video` (a name or key), or a model `clipscout/<name>`; with one video served, neither is
needed. The question is the last user message; options are the extra field `options`, or a list in it: see `prompts`.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from clipscout.ask.answer import Answer
from clipscout.serve.episodes import EpisodeRunner
from clipscout.serve.library import Entry, Library
from clipscout.serve.prompts import split_prompt
from clipscout.serve.requests import event, json_body, json_reply, kept_alive, read_options
from navigation import VIDEO_QA, InputError, Status
from navigation.grid import format_path

MODEL = "clipscout"
_LISTED = 1000
_LOOK_ROUND = 1.0
"""Seconds after which a reply that is not streamed looks whether its client is still there."""
_NO = (None, False, 0, "none", "auto")
_REFUSED: dict[str, tuple[Any, ...]] = {
    "n": (None, 1), "tools": (None, []), "tool_choice": _NO, "functions": (None, []), "function_call": _NO,
    "response_format": (None, {"type": "text"}), "logprobs": _NO, "top_logprobs": _NO, "logit_bias": (None, {}),
    "modalities": (None, ["text"]), "audio": (None,), "prediction": (None,), "web_search_options": (None,),
}  # fmt: skip
"""Fields that would change the reply in a way that an episode cannot, with the values that ask for nothing."""
_READ = {"messages", "model", "video", "options", "stream", "stream_options", *_REFUSED}
_FINISH = {Status.OUT_OF_TURNS.value: "length", Status.OUT_OF_TOKENS.value: "length"}


class OpenAIApi:
    """Routes below `/v1`."""

    def __init__(self, library: Library, runner: EpisodeRunner) -> None:
        self.library, self.runner = library, runner
        self.started = int(time.time())
        self.routes = [
            Route("/v1/models", self.models),
            Route("/v1/models/{name:path}", self.model),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
        ]

    async def models(self, request: Request) -> Response:
        names = [MODEL, *(f"{MODEL}/{entry.name}" for entry in self.library.entries[:_LISTED])]
        return json_reply({"object": "list", "data": [self._described(name) for name in names]})

    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            known = name == MODEL or (name.startswith(f"{MODEL}/") and self.library.get(name.removeprefix(f"{MODEL}/")))
        except InputError:
            known = False
        if not known:
            message = f"there is no model {name[:200]!r}; /v1/models lists them"
            return json_reply({"error": {"message": message, "type": "invalid_request_error", "code": 404}}, 404)
        return json_reply(self._described(name))

    def _described(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.started, "owned_by": MODEL}

    async def chat(self, request: Request) -> Response:
        body = await json_body(request)
        refuse_unsupported(body)
        entry = self._entry(body)
        text, options = question_of(body)
        episode = self.runner.episode(entry, text, options)
        try:
            first = await anext(episode)
        except BaseException:
            await episode.aclose()
            raise
        assert isinstance(first, dict)
        head = {"id": f"chatcmpl-{first['id'].rpartition('/')[2]}", "created": int(time.time()), "model": MODEL}
        ignored = sorted(str(key)[:80] for key in body.keys() - _READ if body[key] is not None)[:40]
        if body.get("stream") is True:
            headers = {"cache-control": "no-store"}
            return StreamingResponse(
                self._stream(episode, head, ignored), media_type="text/event-stream", headers=headers
            )
        return await self._whole(request, episode, head, ignored)

    async def _whole(
        self, request: Request, episode: AsyncGenerator[Any], head: dict[str, Any], ignored: list[str]
    ) -> Response:
        reasoning: list[str] = []
        items = kept_alive(episode, _LOOK_ROUND)
        try:
            async for item in items:
                if isinstance(item, Answer):
                    return json_reply(_completion(item, head, "".join(reasoning), ignored))
                if item is not None:
                    reasoning += _thought(item)
                elif await request.is_disconnected():
                    return Response(status_code=499)
        finally:
            await items.aclose()
        raise RuntimeError("an episode ends with its answer")

    async def _stream(
        self, episode: AsyncGenerator[Any], head: dict[str, Any], ignored: list[str]
    ) -> AsyncIterator[bytes]:
        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return event({**head, "object": "chat.completion.chunk", "choices": [choice], **more})

        items = kept_alive(episode)
        try:
            yield chunk({"role": "assistant", "content": ""})
            async for item in items:
                if item is None:
                    yield b": waiting\n\n"
                elif isinstance(item, Answer):
                    if item.text:
                        yield chunk({"content": item.text})
                    record = item.to_dict(messages=False) | {"ignored": ignored}
                    yield chunk({}, _FINISH.get(item.status, "stop"), usage=_usage(item), clipscout=record)
                else:
                    for text in _thought(item):
                        yield chunk({"reasoning_content": text})
        except InputError as error:
            yield event({"error": {"message": str(error), "type": "server_error"}})
        finally:
            await items.aclose()
        yield b"data: [DONE]\n\n"

    def _entry(self, body: Mapping[str, Any]) -> Entry:
        video, model = body.get("video"), body.get("model")
        if isinstance(video, str) and video:
            return self.library.get(video)
        if isinstance(model, str) and model.startswith(f"{MODEL}/"):
            return self.library.get(model.removeprefix(f"{MODEL}/"))
        if len(self.library.entries) == 1:
            return self.library.entries[0]
        hint = f"name one in the field `video`, or as the model `{MODEL}/<name>`; /v1/models lists them"
        raise InputError("request", "video", video, hint)


def refuse_unsupported(body: Mapping[str, Any]) -> None:
    """Raises InputError for a field of OpenAI's API that would change the reply and cannot here, by its name."""
    for name, harmless in _REFUSED.items():
        if body.get(name) not in harmless:
            hint = "leave this field out: a question has one answer, in text, and the agent has tools of its own"
            raise InputError("request", name, body[name], hint)
    if not isinstance(body.get("stream", False), bool | None):
        raise InputError("request", "stream", body["stream"], "give true or false")


def question_of(body: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Question and options of a chat request.

    Raises:
        InputError: no user message with text.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InputError("request", "messages", messages, "give a list of messages")
    asked = [message for message in messages if isinstance(message, dict) and message.get("role") == "user"]
    text = _text(asked[-1].get("content")) if asked else ""
    options = read_options(body)
    if not text.strip():
        raise InputError("request", "messages", "no text", "let the last user message hold the question")
    return (text, options) if options else split_prompt(text)[:2]


def _text(content: object) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _thought(item: Mapping[str, Any]) -> list[str]:
    """What an event adds to the reasoning."""
    if item["type"] == "turn" and item["reasoning"]:
        return [f"{item['reasoning']}\n"]
    if item["type"] == "opened":
        what = "asked about" if item["tool"] == VIDEO_QA else "opened"
        return [f"[{what} {format_path(tuple(item['path']))}]\n"]
    if item["type"] == "found":
        return [f"[looked up {item['query']}]\n"]
    return []


def _completion(answer: Answer, head: dict[str, Any], reasoning: str, ignored: list[str]) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text or "", "reasoning_content": reasoning}
    choice = {"index": 0, "message": message, "finish_reason": _FINISH.get(answer.status, "stop")}
    record = answer.to_dict(messages=False) | {"ignored": ignored}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(answer), "clipscout": record}


def _usage(answer: Answer) -> dict[str, int]:
    prompt, completion = answer.cost.prompt_tokens, answer.cost.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
