"""The teacher's text protocol: reasoning, then one call or one answer, read without ever evaluating it.

    <think>…</think><tool>get_caption([2, 5])</tool>
    <think>…</think><tool>video_qa([2, 5, 1], "what colour is the car?")</tool>
    <think>…</think><answer>B</answer>

The tagged format of LongVideo-R1, read leniently: `(2, 5)`, `((2, 5))`, a single number, keyword arguments, and the
JSON form `{"name": …, "arguments": {…}}`, also within `<tool_call>` as Qwen models write it, are understood too.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navigation import GET_CAPTION, LETTERS, VIDEO_QA, read_answer
from navigation.tools import parse_path

LONGEST_REPLY = 60_000
LONGEST_QUERY = 1_000

_ACTION = re.compile(r"<(tool|tool_call|answer)>", re.IGNORECASE)
_CALL = re.compile(rf"\s*({GET_CAPTION}|{VIDEO_QA})\s*\(", re.IGNORECASE)
_SEGMENT = re.compile(
    r"\s*(?:segment\s*=\s*)?([\[(]{0,2}\s*\d{1,4}(?:\s*,\s*\d{1,4}){0,31}\s*,?\s*[\])]{0,2})", re.IGNORECASE | re.ASCII
)
_QUERY_BEGIN = re.compile(r"\s*,?\s*(?:query\s*=\s*)?([\"'“])", re.IGNORECASE)
_BARE_QUERY = re.compile(r"\s*,\s*(?:query\s*=\s*)?", re.IGNORECASE)
_CLOSING = {'"': '"', "'": "'", "“": "”"}


@dataclass(frozen=True, slots=True)
class Step:
    """One readable reply: reasoning, and a call (`tool`, `arguments`) or an answer (`letter`)."""

    reasoning: str
    tool: str = ""
    arguments: Mapping[str, Any] | None = None
    letter: str = ""
    dropped: bool = False
    """Whether something stood after the first call or answer: another call, or a made-up result. It is not kept."""

    def text(self) -> str:
        """The reply in the form that the protocol asks for."""
        if self.letter:
            return f"<think>{self.reasoning}</think><answer>{self.letter}</answer>"
        return f"<think>{self.reasoning}</think><tool>{call_text(self.tool, self.arguments or {})}</tool>"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A reply that cannot be used, and why, in words for the teacher."""

    reason: str


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """`get_caption([2, 5])` or `video_qa([2, 5, 1], "…")`."""
    segment = json.dumps(arguments.get("segment"))
    query = arguments.get("query")
    return f"{tool}({segment})" if query is None else f"{tool}({segment}, {json.dumps(query, ensure_ascii=False)})"


def read_step(text: str, option_count: int, hidden_reasoning: str = "") -> Step | Malformed:
    """Reads one reply of the teacher.

    The first call or answer outside the reasoning counts; what follows it is dropped. Time is linear in the reply's
    length; nothing is evaluated.

    Args:
        text: What the model wrote.
        option_count: How many letters are valid.
        hidden_reasoning: What the server returned apart from the text (`reasoning_content`); used if the text has none.
    """
    if len(text) > LONGEST_REPLY:
        return Malformed(f"it is longer than {LONGEST_REPLY} characters")
    reasoning, rest = _split_reasoning(text)
    reasoning = reasoning or hidden_reasoning[:LONGEST_REPLY].strip()
    found = _ACTION.search(rest)
    if found is None:
        return Malformed("it holds neither <tool> nor <answer>")
    if not reasoning:
        return Malformed("it holds no reasoning in <think>")
    kind = found.group(1).lower()
    body, _, after = _until(rest[found.end() :], f"</{kind}>")
    dropped = _ACTION.search(after) is not None
    if kind == "answer":
        letter = read_answer(f"<answer>{body[:400]}</answer>", option_count)
        if letter is None:
            return Malformed(f"<answer> should hold one of the letters {LETTERS[0]} to {LETTERS[option_count - 1]}")
        return Step(reasoning, letter=letter, dropped=dropped)
    call = read_call(body)
    if call is None:
        return Malformed('<tool> should hold get_caption([2, 5]) or video_qa([2, 5, 1], "query")')
    return Step(reasoning, call[0], call[1], dropped=dropped)


def read_call(text: str) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a written call, or None."""
    if text.lstrip().startswith("{"):
        return _read_json_call(text)
    head = _CALL.match(text)
    if head is None:
        return None
    name = head.group(1).lower()
    found = _SEGMENT.match(text, head.end())
    if found is None:
        return None
    segment = parse_path(found.group(1).strip("[]() \n\t"))
    if segment is None:
        return None
    arguments: dict[str, Any] = {"segment": list(segment)}
    if name == GET_CAPTION and text[found.end() :].strip()[:1] not in ("", ")"):
        return None
    if name == VIDEO_QA:
        begin = _QUERY_BEGIN.match(text, found.end())
        query = _bare(text[found.end() :]) if begin is None else _quoted(text, begin.end(), _CLOSING[begin.group(1)])
        if not query:
            return None
        arguments["query"] = query
    return name, arguments


def _split_reasoning(text: str) -> tuple[str, str]:
    """Reasoning and what follows it. Without a closing tag the reasoning ends at the first call or answer."""
    lower = text.lower()
    begin = lower.find("<think>")
    if begin >= 0 and (end := lower.find("</think>", begin)) >= 0:
        before = text[:begin]
        if _ACTION.search(before) is None:
            return text[begin + 7 : end].strip(), text[end + 8 :]
    elif begin < 0 and (end := lower.find("</think>")) >= 0:
        # Servers whose template opens the tag in the prompt return the closing one alone.
        return text[:end].strip(), text[end + 8 :]
    found = _ACTION.search(text)
    if found is None:
        return "", ""
    return re.sub(r"</?think>", "", text[: found.start()], flags=re.IGNORECASE).strip(), text[found.start() :]


def _until(text: str, tag: str) -> tuple[str, str, str]:
    place = text.lower().find(tag)
    return (text, "", "") if place < 0 else (text[:place], tag, text[place + len(tag) :])


def _quoted(text: str, begin: int, closing: str) -> str | None:
    """A quoted text with backslash escapes of quotes; ended by the quote that stands before `)` or the end."""
    end = text.rfind(closing, begin, begin + LONGEST_QUERY)
    if end < 0:
        return None
    return text[begin:end].replace(f"\\{closing}", closing).replace("\\\\", "\\").replace("\\n", " ").strip() or None


def _bare(text: str) -> str | None:
    """A query without quotes, as LongVideo-R1's prompt shows it: from the comma to the last `)` or the end."""
    found = _BARE_QUERY.match(text)
    if found is None:
        return None
    query = text[found.end() : found.end() + LONGEST_QUERY]
    return (query[: query.rindex(")")] if ")" in query else query).strip() or None


def _read_json_call(text: str) -> tuple[str, dict[str, Any]] | None:
    try:
        record, _ = json.JSONDecoder().raw_decode(text.strip())
    except (json.JSONDecodeError, RecursionError):
        return None
    arguments = record.get("arguments") if isinstance(record, dict) else None
    if not isinstance(arguments, dict) or record.get("name") not in (GET_CAPTION, VIDEO_QA):
        return None
    segment, query = parse_path(arguments.get("segment")), arguments.get("query")
    if segment is None:
        return None
    if record["name"] == GET_CAPTION:
        return GET_CAPTION, {"segment": list(segment)}
    if not isinstance(query, str) or not query.strip():
        return None
    return VIDEO_QA, {"segment": list(segment), "query": query.strip()[:LONGEST_QUERY]}
