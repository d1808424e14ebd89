"""What a server's reply means: an answer, or why there is none, what to do about it and what it cost."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any

from runtime.budget import Price, Usage


@dataclass(slots=True)
class Completion:
    """An accepted reply.

    Args:
        message: The assistant message as the server sent it (`reasoning_content`, `tool_calls`, …); the parts of a
            `content` in parts are joined.
        finish_reason: `stop`, `length` (the text is cut), `tool_calls`, …
        usage: Of all attempts at this answer, the rejected ones included.
        attempts: Requests it took.
    """

    message: dict[str, Any]
    finish_reason: str | None
    usage: Usage
    attempts: int = 1

    @property
    def text(self) -> str:
        return (self.message.get("content") or "").strip()


class Kind(Enum):
    """What follows from a failure."""

    PASSING = auto()
    """The same request may be answered later."""
    REFUSED = auto()
    """This request will not be answered, others may be."""
    TOO_LONG = auto()
    """As REFUSED: prompt and completion have no room in the model's context."""
    FILTERED = auto()
    """As REFUSED: for its content."""
    DOWN = auto()
    """No request will be answered."""


def _nothing() -> Usage:
    return Usage(requests=1, unanswered=1)


@dataclass(slots=True)
class Failure:
    """What one attempt brought instead of an answer.

    Args:
        reason: What happened, in one line; what stands before its first colon is what failures are counted by.
        hint: What to do.
        wait: Seconds the server asks to wait.
        status: HTTP status, or what stands for it in a reply of status 200.
        told: What the server said, whole, with the field it names.
    """

    reason: str
    hint: str
    kind: Kind = Kind.PASSING
    wait: float | None = None
    usage: Usage = field(default_factory=_nothing)
    status: int = 0
    told: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What of a request decides how its reply is read and reckoned.

    Args:
        prompt_tokens: Estimated from the request's bytes and its images.
        room: Completion tokens it allows.
        answered: Whether the server has answered any request so far.
        url: Where it was sent.
    """

    prompt_tokens: int
    room: int
    images: int
    price: Price | None
    stream: bool = False
    answered: bool = False
    url: str = ""

    def lost(self) -> Usage:
        """The cost of a request whose reply is lost: it may have been billed for all that it allows."""
        usage = Usage(prompt_tokens=self.prompt_tokens, completion_tokens=self.room)
        return Usage(requests=1, unanswered=1, estimated=1, usd=self._usd(usage))

    def refused(self) -> Usage:
        """The cost of a request that was refused after it had been read: its prompt may have been billed."""
        return Usage(requests=1, unanswered=1, estimated=1, usd=self._usd(Usage(prompt_tokens=self.prompt_tokens)))

    def usage(self, record: object, text: str) -> Usage:
        """The cost of a reply: as the server tells it, and what it does not tell estimated from the texts.

        Args:
            record: The reply's `usage`.
            text: All that the model wrote.
        """
        record = record if isinstance(record, Mapping) else {}
        details = record.get("prompt_tokens_details")
        details = details if isinstance(details, Mapping) else {}
        prompt = _count(record.get("prompt_tokens", record.get("input_tokens")))
        completion = _count(record.get("completion_tokens", record.get("output_tokens")))
        guessed = not prompt or completion is None or (text != "" and not completion)
        prompt = prompt or self.prompt_tokens
        completion = completion or math.ceil(len(text.encode("utf-8", "replace")) / 4)
        if not guessed and (total := _count(record.get("total_tokens"))):
            # Gemini counts thoughts, which it bills, in the total alone.
            completion = max(completion, total - prompt)
        usage = Usage(
            requests=1,
            images=self.images,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=min(prompt, _count(details.get("cached_tokens")) or 0),
            image_tokens=_count(details.get("image_tokens")) or 0,
            estimated=int(guessed),
        )
        usage.usd = self._usd(usage)
        return usage

    def _usd(self, usage: Usage) -> float:
        return self.price.usd(usage) if self.price else 0.0


def _count(value: object) -> int | None:
    """A count of tokens; None for what is none. Some servers write whole numbers as 57.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


PASSING = frozenset({408, 409, 425, 429})
"""HTTP statuses that are asked again, besides all from 500 on."""
_DOWN = frozenset({401, 402, 404})
"""HTTP statuses that every other request would get too."""
_HINTS = {
    400: "fix the field that it names, or leave it out or rename it with --request",
    401: "set OPENAI_API_KEY to this server's key",
    402: "the account has no credit left: top it up, and go on",
    403: "set OPENAI_API_KEY to a key that may use the model, or fix --model",
    404: "fix the base address (--url) or the model's name (--model)",
    413: "send fewer or smaller frames",
    429: "lower --in-flight",
}
_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|maximum model length|max_model_len|prompt is too long|"
    r"input is too (long|large)|longer than the (model's |maximum )|token count .{0,40}exceeds|"
    r"exceeds? (the |your )?(maximum|max|limit|available|configured).{0,30}(tokens|context)|too large for model with|"
    r"too many (input )?tokens|`?inputs`? tokens \+ `?max_new_tokens",
    re.IGNORECASE | re.DOTALL,
)
"""As vLLM, OpenAI, SGLang, llama.cpp, TGI, Anthropic, Gemini and Mistral word it."""
_CONTENT = re.compile(
    r"content[ _-]?(filter|management|polic|moderation)|moderat|flagged|responsible ?ai|"
    r"safety (system|polic|filter)|data_inspection|inappropriate content|prohibited[ _]content|"
    r"sensitive content|harmful content",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"api.?key|permission|credential|token|unauthori|not authori|forbidden for|region|country", re.IGNORECASE
)
_CUT = frozenset({"length", "max_tokens", "model_length", "max_output_tokens"})
_FILTERED = frozenset(
    {"content_filter", "refusal", "safety", "prohibited_content", "recitation", "blocklist", "spii", "image_safety"}
)


def read_reply(status: int, headers: Mapping[str, str], content: bytes, sent: Sent) -> Completion | Failure:
    """Reads one HTTP reply."""
    kind = headers.get("content-type", "").lower()
    streams = "event-stream" in kind or content.lstrip()[:5] == b"data:"
    page = "html" in kind or content.lstrip()[:1] == b"<"
    if status < 300 and (page or (streams and not sent.stream)):
        what = "a web page" if page else "a stream"
        hint = "give the base address of an OpenAI-compatible API, such as http://localhost:8000/v1"
        hint = hint if page else "set `stream: true` in a file for --request"
        return Failure(
            f"{what} came instead of a completion",
            hint,
            Kind.PASSING if sent.answered else Kind.DOWN,
            usage=_nothing() if page else sent.lost(),
        )
    try:
        record = joined(content) if streams else json.loads(content)
    except CutStream as error:
        return Failure(f"the reply is cut: {error}", "look at the server's log", usage=sent.lost())
    except (ValueError, RecursionError):
        if status < 300:
            hint = "look at the server's log, or fix --url: this is not an OpenAI-compatible API"
            return Failure("the reply is no JSON", hint, usage=sent.lost())
        record = "a web page" if page else content.decode("utf-8", "replace")
    if status >= 300:
        return _refusal(status, headers, record, sent)
    return _read(record, headers, sent)


def _read(record: object, headers: Mapping[str, str], sent: Sent) -> Completion | Failure:
    record = record if isinstance(record, dict) else {}
    choices = record.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    finish = choice.get("finish_reason")
    finish = finish.lower() if isinstance(finish, str) else None
    error = record.get("error") or choice.get("error")
    texts = _texts(message) if isinstance(message, dict) else ""
    if error or finish in ("error", "abort"):
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        failure = _refusal(status, headers, {"error": error or f"finish_reason {finish}"}, sent)
        failure.reason = f"an error in a reply of status 200: {failure.reason}"
        if record.get("usage") or texts:
            failure.usage = sent.usage(record.get("usage"), texts)
        return failure
    usage = sent.usage(record.get("usage"), texts)
    reported = usage if record.get("usage") else sent.lost()
    if not isinstance(message, dict):
        return Failure("the reply holds no message", "look at the server's log", usage=reported)
    refusal = message.get("refusal")
    if (finish is not None and (finish in _FILTERED or finish.startswith("content_filter"))) or refusal:
        reason = f"filtered: finish_reason {finish}" + (f", {_line(str(refusal))}" if refusal else "")
        return Failure(reason, "leave this question or segment out, or use another model", Kind.FILTERED, usage=usage)
    message = _with_joined_content(message)
    if message is None:
        return Failure("the reply holds no text", "look at the server's log", usage=reported)
    return Completion(message, "length" if finish in _CUT else finish, usage)


def _with_joined_content(message: dict[str, Any]) -> dict[str, Any] | None:
    """The message with a `content` that is a text; None if it is neither a text nor parts. Thoughts go to reasoning."""
    content = message.get("content")
    if content is None or isinstance(content, str):
        return message
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
            thoughts.append(_joined_text(part.get("thinking") or part.get("text")))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            return None
    kept = {**message, "content": "".join(texts)}
    if thoughts and not kept.get("reasoning_content"):
        kept["reasoning_content"] = "".join(thoughts)
    return kept


def _joined_text(value: object) -> str:
    if isinstance(value, list):
        return "".join(_joined_text(each.get("text") if isinstance(each, dict) else each) for each in value)
    return value if isinstance(value, str) else ""


def _texts(message: Mapping[str, Any]) -> str:
    """All that the model wrote, for estimates."""
    whole = _with_joined_content(dict(message)) or {}
    calls = message.get("tool_calls")
    parts = [whole.get("content"), whole.get("reasoning_content") or whole.get("reasoning"), whole.get("refusal")]
    return "".join(part for part in parts if isinstance(part, str)) + (json.dumps(calls) if calls else "")


def _refusal(status: int, headers: Mapping[str, str], record: object, sent: Sent) -> Failure:
    """Reads a reply that is an error."""
    error = record.get("error", record) if isinstance(record, dict) else record
    fields = error if isinstance(error, dict) else {}
    detail = fields.get("message") or (record.get("detail") if isinstance(record, dict) else None)
    code = str(fields.get("code") or "")
    told = " ".join(str(each) for each in (detail or error, code, fields.get("type"), fields.get("param")) if each)
    metadata = fields.get("metadata") or fields.get("innererror")
    hint = _HINTS.get(status, _HINTS[400] if status < 500 else "look at the server's log")
    failure = Failure(
        f"HTTP {status}: {_line(str(detail or error or 'no reason given'))}", hint, status=status, told=told
    )
    reported = record.get("usage") if isinstance(record, dict) else None
    if reported:
        failure.usage = sent.usage(reported, "")
    if status == 408 or status == 504:
        failure.usage = failure.usage if reported else sent.lost()
    if status == 429 and ("insufficient_quota" in told or "billing" in told.lower()):
        failure.kind, failure.hint = Kind.DOWN, _HINTS[402]
    elif _TOO_LONG.search(told) and (status in (400, 413, 422) or status >= 500):
        failure.kind, failure.reason = Kind.TOO_LONG, f"out of context: {failure.reason}"
        failure.hint = "start the server with a longer context, or ask for less with --max-tokens"
    elif status in (400, 403, 422, 451) and (status == 451 or _CONTENT.search(f"{told} {metadata}")):
        failure.kind, failure.reason = Kind.FILTERED, f"filtered: {failure.reason}"
        failure.hint = "leave this question or segment out, or use another model"
        failure.usage = failure.usage if reported else sent.refused()
    elif status in _DOWN or (status == 403 and _KEY.search(told)):
        failure.kind = Kind.DOWN
    elif status not in PASSING and status < 500:
        failure.kind = Kind.REFUSED
    failure.wait = retry_after_seconds(headers)
    return failure


def retry_after_seconds(headers: Mapping[str, str], longest: float = math.inf) -> float | None:
    """What a reply's `retry-after-ms` or `Retry-After` asks for (seconds or an HTTP date), at most `longest`.

    None where it asks for nothing, for no time or for a time that has passed: that is no reason to ask at once.
    """
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        elif "retry-after" in headers:
            wait = float(headers["retry-after"])
        else:
            return None
    except ValueError:
        try:
            wait = (parsedate_to_datetime(headers["retry-after"]) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, KeyError):
            return None
    return min(longest, wait) if wait > 0 else None


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


class CutStream(ValueError):
    """The stream ended before its last piece."""


def joined(content: bytes) -> dict[str, Any]:
    """The record of a server-sent event stream.

    Raises:
        CutStream: it ended before a finish reason or `[DONE]`.
        ValueError: a piece is no JSON object.
    """
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, Any]] = {}
    record: dict[str, Any] = {}
    finish, done = None, False
    for line in content.decode("utf-8", "replace").splitlines():
        name, _, data = line.partition(":")
        if name != "data" or not data.strip():
            continue
        if data.strip() == "[DONE]":
            done = True
            break
        piece = json.loads(data)
        if not isinstance(piece, dict):
            raise ValueError("a piece of the stream is no JSON object")
        if piece.get("error"):
            return {"error": piece["error"], "usage": piece.get("usage") or record.get("usage")}
        if piece.get("usage"):
            record["usage"] = piece["usage"]
        choices = piece.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        finish = choice.get("finish_reason") or finish
        delta = choice.get("delta")
        for key, value in (delta if isinstance(delta, dict) else {}).items():
            if key in _TEXTS and isinstance(value, str):
                message[key] = (message.get(key) or "") + value
            elif key == "tool_calls" and isinstance(value, list):
                _add_calls(calls, value)
            elif key not in ("role", *_TEXTS) and value is not None:
                message[key] = value
    if finish is None and not done:
        raise CutStream("the stream ended before its last piece")
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {**record, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def _add_calls(calls: dict[int, dict[str, Any]], pieces: list[Any]) -> None:
    """Arguments come in pieces; everything else of a call comes once."""
    for place, piece in enumerate(pieces):
        if not isinstance(piece, dict):
            continue
        index = piece.get("index")
        call = calls.setdefault(index if isinstance(index, int) else place, {"type": "function", "function": {}})
        function = piece.get("function")
        for name, value in (function if isinstance(function, dict) else {}).items():
            if name == "arguments" and isinstance(value, str):
                call["function"]["arguments"] = call["function"].get("arguments", "") + value
            elif value:
                call["function"][name] = value
        call |= {name: value for name, value in piece.items() if name not in ("index", "function") and value}
