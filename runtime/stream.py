"""A streamed chat completion joined into the one that would have come at once."""

import json
from typing import Any

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
