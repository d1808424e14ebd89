"""A conversational row as the chat template reads it: everything the user wrote is in it, or the row is refused.

The template writes what it knows and passes over the rest: a message of another role, a field of another name, a
content that is a list. Whoever collected the data meant that text to be learned, so nothing goes past unread.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from navigation import InputError
from navigation.prompt import former_prompt

ROLES = ("system", "user", "assistant", "tool")
FIELDS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "reasoning", "reasoning_content", "tool_calls", "extra_content"},
    "tool": {"role", "content", "name", "tool_call_id"},
}
"""What a message may have. A tool's name and a call's id tie a reply to its call and are no text to read;
`extra_content` is what a provider wants back as it was sent."""
CALL_FIELDS = {"id", "type", "index", "function", "extra_content"}
FUNCTION_FIELDS = {"name", "arguments"}


def conversation(row: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`messages` and `tools` of a row, in the one shape that the chat template reads to the last word.

    A list of text parts becomes one text, `reasoning` becomes `reasoning_content`, arguments written as JSON become an
    object, and tools written as JSON a list. Fields without a value, with which Arrow fills a struct, are left out.

    Args:
        row: `messages`, and `tools` where there are any; other columns are not read.
        source: Names the row in an error.

    Raises:
        InputError: something that the template would not write, or not as it is; or a prompt of a former version. The
            field says where it is.
    """
    messages = row.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InputError(source, "messages", messages, "give a list of messages, each with role and content")
    tools = _tools(row.get("tools"), source)
    made = [
        _message(message, f"messages[{place}]", tools, source, first=place == 0)
        for place, message in enumerate(messages)
    ]
    for place, message in enumerate(made[:2]):
        if message["role"] == "user" and (former := former_prompt(message["content"])):
            hint = "bring the trajectories over with `clipscout migrate FOLDER OUT`, then make the data set again"
            raise InputError(source, f"messages[{place}].content", former, hint)
    return {"messages": made, "tools": tools}


def _tools(tools: Any, source: str) -> list[dict[str, Any]] | None:
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except ValueError:
            raise InputError(source, "tools", tools, "give a JSON list of tool schemas") from None
    if tools is not None and (not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools)):
        raise InputError(source, "tools", tools, "give a list of tool schemas")
    return tools


def _message(message: Any, field: str, tools: Any, source: str, first: bool) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise InputError(source, field, message, "give an object with role and content")
    role = message.get("role")
    if role not in ROLES:
        raise InputError(source, f"{field}.role", role, f"use {', '.join(ROLES)}: others are not rendered")
    learned = message.get("train")
    if learned is not None and not isinstance(learned, bool):
        raise InputError(source, "train", learned, "give true or false, or leave it out")
    if learned and role != "assistant":
        raise InputError(source, f"{field}.train", True, "leave it out: only assistant messages are learned")
    _refuse_unknown(message, FIELDS[role] | {"train"}, field, source)
    made = {key: value for key, value in message.items() if value is not None}
    if "content" in made:
        made["content"] = _text(made["content"], f"{field}.content", source)
    if role == "assistant":
        _reasoning(made, field, source)
        if made.get("tool_calls"):
            made["tool_calls"] = _calls(made["tool_calls"], f"{field}.tool_calls", tools, source)
    elif "content" not in made:
        raise InputError(source, f"{field}.content", None, "give a text")
    return made


def _refuse_unknown(found: Mapping[str, Any], known: set[str], field: str, source: str) -> None:
    for key in sorted(map(str, found.keys() - known)):
        # Of no value to anyone, as Arrow fills in and servers send along: null, "", [] and {}.
        if found[key] not in (None, "", [], {}):
            hint = "it is not rendered: put what should be learned into a field that is, or take it out of the row"
            raise InputError(source, f"{field}.{key}", found[key], hint)


def _text(content: Any, field: str, source: str) -> str:
    """One text of a text, or of a list of text parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise InputError(source, field, content, "give a text, or a list of text parts")
    texts = []
    for place, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text":
            hint = "only parts of type text are trained on: say it in words, or leave out the row"
            raise InputError(source, f"{field}[{place}].type", kind, hint)
        if not isinstance(part.get("text"), str):
            raise InputError(source, f"{field}[{place}].text", part.get("text"), "give a text")
        _refuse_unknown(part, {"type", "text"}, f"{field}[{place}]", source)
        texts.append(part["text"])
    return "".join(texts)


def _reasoning(made: dict[str, Any], field: str, source: str) -> None:
    """Leaves `reasoning_content` alone, or none where the content's own `<think>…</think>` is read."""
    for key in ("reasoning", "reasoning_content"):
        if key in made:
            made[key] = _text(made[key], f"{field}.{key}", source)
    given = made.pop("reasoning", "")
    if given:
        other = made.get("reasoning_content")
        if other and other != given:
            hint = "it differs from reasoning_content: leave one of them"
            raise InputError(source, f"{field}.reasoning", given, hint)
        made["reasoning_content"] = given
    content = made.get("content", "")
    if "reasoning_content" not in made and "</think>" in content:
        before, _, rest = content.partition("</think>")
        outside, _, inside = before.rpartition("<think>")
        if "</think>" in rest or outside.strip() or "<think>" in inside:
            hint = "give one <think>…</think> at its beginning, or the reasoning as reasoning_content"
            raise InputError(source, f"{field}.content", content, hint)


def _calls(calls: Any, field: str, tools: Any, source: str) -> list[dict[str, Any]]:
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise InputError(source, field, calls, "give a list of calls")
    functions = [tool.get("function") or tool for tool in tools or ()]
    schemas = {function.get("name"): function for function in functions}
    made = []
    for place, call in enumerate(calls):
        here = f"{field}[{place}]"
        if not isinstance(call, Mapping):
            raise InputError(source, here, call, "give an object with function")
        bare = call.get("function") is None
        function, at = (call, here) if bare else (call["function"], f"{here}.function")
        if not isinstance(function, Mapping):
            raise InputError(source, at, function, "give an object with name and arguments")
        _refuse_unknown(call, CALL_FIELDS | (FUNCTION_FIELDS if bare else set()), here, source)
        if not bare:
            _refuse_unknown(function, FUNCTION_FIELDS, at, source)
        name = function.get("name")
        if not isinstance(name, str) or not name.strip():
            raise InputError(source, f"{at}.name", name, "give the name of the tool")
        arguments = _arguments(function.get("arguments"), f"{at}.arguments", source)
        _refuse_filled(arguments, schemas.get(name), f"{at}.arguments", source)
        kept = {key: value for key, value in call.items() if value is not None and key not in FUNCTION_FIELDS}
        made.append(kept | {"function": {"name": name, "arguments": arguments}})
    return made


def _arguments(arguments: Any, field: str, source: str) -> dict[str, Any]:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            raise InputError(source, field, arguments, "it is no JSON: give an object of arguments") from None
    if not isinstance(arguments, Mapping):
        raise InputError(source, field, arguments, "give a JSON object of arguments, {} for none")
    return dict(arguments)


def _refuse_filled(arguments: Mapping[str, Any], schema: Any, field: str, source: str) -> None:
    """Raises for a null under a name that the tool does not have: Arrow puts other tools' arguments there."""
    known = ((schema or {}).get("parameters") or {}).get("properties")
    if known is None:
        return
    for key in sorted(arguments.keys() - set(known)):
        if arguments[key] is None:
            hint = (
                "the tool has no such argument; write the column as JSON, as `clipscout dataset` does: Arrow's structs "
            )
            raise InputError(source, f"{field}.{key}", None, hint + "give every call the arguments of all of them")
