"""One turn in the tagged format, read and written: reasoning, then one call or one answer. Nothing is ever evaluated.

    <think>…</think><tool>get_caption([2, 5])</tool>
    <think>…</think><tool>video_qa([2, 5, 1], "what colour is the car?")</tool>
    <think>…</think><answer>B</answer>

Calls are read leniently: `(2, 5)`, `((2, 5))`, a single number, keyword arguments, and the JSON form
`{"name": …, "arguments": {…}}`, also within `<tool_call>` as Qwen models write it, are understood too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from navigation import DEFAULT_TOOLS, GET_CAPTION, JUMP, LETTERS, SEARCH, VIDEO_QA, read_answer
from navigation.tools import parse_path

LONGEST_TURN = 60_000
LONGEST_ANSWER = 2000
LONGEST_QUERY = 1_000

_ACTION = re.compile(r"<(tool|tool_call|answer)>", re.IGNORECASE | re.ASCII)
_THINK = re.compile(r"<think>", re.IGNORECASE | re.ASCII)
_THOUGHT = re.compile(r"</think>", re.IGNORECASE | re.ASCII)
_CALL = re.compile(rf"\s*({GET_CAPTION}|{VIDEO_QA})\s*\(", re.IGNORECASE | re.ASCII)
_LOOKUP = re.compile(rf"\s*({SEARCH}|{JUMP})\s*\(", re.IGNORECASE | re.ASCII)
_SAID = re.compile(
    r"""\s*(?:(?:query|time)\s*=\s*)?(?:("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|“[^”]*”)|([^"'“\s,()\[\]][^"“,()\[\]]*))"""
    r"\s*(?:,\s*(?:within\s*=\s*)?([\[(]{1,2}[\d\s,]{1,120}[\])]{1,2}|\d{1,4})\s*)?\)?\s*$",
    re.IGNORECASE,
)
_WRITTEN = {
    GET_CAPTION: "get_caption([2, 5])",
    VIDEO_QA: 'video_qa([2, 5, 1], "query")',
    SEARCH: 'search("words")',
    JUMP: 'jump("12:30")',
}
_SEGMENT = re.compile(
    r"\s*(?:segment\s*=\s*)?([\[(]{0,2}\s*\d{1,4}(?:\s*,\s*\d{1,4}){0,31}\s*,?\s*[\])]{0,2})", re.IGNORECASE | re.ASCII
)
_QUERY = re.compile(r"\s*(,?)\s*(?:query\s*=\s*)?([\"'“]?)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\([\\n\"'”])")
_CLOSING = {'"': '"', "'": "'", "“": "”"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One readable turn: reasoning, and a call (`tool`, `arguments`) or an answer (`letter`, or words instead)."""

    reasoning: str
    tool: str = ""
    arguments: Mapping[str, Any] | None = None
    letter: str = ""
    dropped: bool = False
    """Whether something stood after the first call or answer: another call, or a made-up result. It is not kept."""

    def text(self) -> str:
        """The turn in the form that the protocol asks for."""
        if self.letter:
            return f"<think>{self.reasoning}</think><answer>{self.letter}</answer>"
        return f"<think>{self.reasoning}</think><tool>{call_text(self.tool, self.arguments or {})}</tool>"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A turn that cannot be used, and why, in words for the model that wrote it."""

    reason: str


class Parts(NamedTuple):
    """A turn's text, taken apart.

    Attributes:
        reasoning: What stands in `<think>`, or before the first call or answer.
        action: The first tag outside the reasoning, `tool`, `tool_call` or `answer`; "" if there is none.
        body: What the tag holds; without a tag all that follows the reasoning.
        after: What follows the closing tag.
    """

    reasoning: str
    action: str
    body: str
    after: str


def split_turn(text: str) -> Parts:
    """Takes a turn apart in time linear in its length. Without a closing tag the reasoning ends at the first action."""
    reasoning, rest = "", text
    begin = _THINK.search(text)
    end = _THOUGHT.search(text, begin.end() if begin else 0)
    if end and not (begin and _ACTION.search(text, 0, begin.start())):
        # Servers whose template opens the tag in the prompt return the closing one alone.
        reasoning, rest = text[begin.end() if begin else 0 : end.start()], text[end.end() :]
    elif found := _ACTION.search(text):
        reasoning, rest = _THOUGHT.sub("", _THINK.sub("", text[: found.start()])), text[found.start() :]
    found = _ACTION.search(rest)
    if found is None:
        return Parts(reasoning.strip(), "", rest.strip(), "")
    action = found.group(1).lower()
    closing = re.compile(f"</{action}>", re.IGNORECASE | re.ASCII).search(rest, found.end())
    body = rest[found.end() : closing.start() if closing else None]
    return Parts(reasoning.strip(), action, body, rest[closing.end() :] if closing else "")


def read_turn(
    text: str, option_count: int, hidden_reasoning: str = "", tools: Sequence[str] = DEFAULT_TOOLS
) -> Turn | Malformed:
    """Reads one turn. The first call or answer outside the reasoning counts; what follows it is dropped.

    Args:
        text: What the model wrote.
        option_count: How many letters are valid; 0 for an answer in words.
        hidden_reasoning: What the server returned apart from the text (`reasoning_content`); used if the text has none.
        tools: What may be called.
    """
    if len(text) > LONGEST_TURN:
        return Malformed(f"it is longer than {LONGEST_TURN} characters")
    reasoning, action, body, after = split_turn(text)
    reasoning = reasoning or hidden_reasoning[:LONGEST_TURN].strip()
    if not action:
        return Malformed("it holds neither <tool> nor <answer>")
    if not reasoning:
        return Malformed("it holds no reasoning in <think>")
    dropped = _ACTION.search(after) is not None
    if action == "answer" and not option_count:
        words = " ".join(body[:LONGEST_ANSWER].split())
        return Turn(reasoning, letter=words, dropped=dropped) if words else Malformed("<answer> holds nothing")
    if action == "answer":
        letter = read_answer(f"<answer>{body[:400]}</answer>", option_count)
        if letter is None:
            return Malformed(f"<answer> should hold one of the letters {LETTERS[0]} to {LETTERS[option_count - 1]}")
        return Turn(reasoning, letter=letter, dropped=dropped)
    call = read_call(body, tools)
    if call is None:
        return Malformed(f"<tool> should hold {' or '.join(_WRITTEN[name] for name in tools)}")
    return Turn(reasoning, call[0], call[1], dropped=dropped)


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """`get_caption([2, 5])`, `video_qa([2, 5, 1], "…")`, `search("…")`, `search("…", [2])` or `jump("12:30")`."""
    if tool in (SEARCH, JUMP):
        said = json.dumps(arguments.get("query" if tool == SEARCH else "time"), ensure_ascii=False)
        within = arguments.get("within")
        return f"{tool}({said}, {json.dumps(within)})" if within else f"{tool}({said})"
    segment = json.dumps(arguments.get("segment"))
    query = arguments.get("query")
    return f"{tool}({segment})" if query is None else f"{tool}({segment}, {json.dumps(query, ensure_ascii=False)})"


def read_call(text: str, tools: Sequence[str] = DEFAULT_TOOLS) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a written call of one of these tools, or None."""
    if text.lstrip().startswith("{"):
        return _read_json_call(text, tools)
    if lookup := _LOOKUP.match(text):
        return _read_lookup(lookup.group(1).lower(), text[lookup.end() :], tools)
    head = _CALL.match(text)
    found = _SEGMENT.match(text, head.end()) if head else None
    segment = parse_path(found.group(1).strip("[]() \n\t")) if found else None
    if head is None or found is None or segment is None:
        return None
    name, arguments = head.group(1).lower(), {"segment": list(segment)}
    if name not in tools:
        return None
    rest = text[found.end() :]
    if name == GET_CAPTION:
        return None if rest.strip()[:1] not in ("", ")") else (name, arguments)
    query = _read_query(rest)
    return (name, {**arguments, "query": query}) if query else None


def _read_lookup(name: str, text: str, tools: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """A search's or a jump's arguments: a text, in quotes or bare, and for a search perhaps a segment after it."""
    said = _SAID.match(text[: LONGEST_QUERY + 100])
    if name not in tools or said is None:
        return None
    quoted, bare, segment = said.groups()
    words = (_ESCAPE.sub(_unescaped, quoted[1:-1]) if quoted else bare).strip()[:LONGEST_QUERY]
    if not words:
        return None
    if name == JUMP:
        return JUMP, {"time": words}
    within = parse_path(segment.strip("[]() \n\t")) if segment else None
    return SEARCH, {"query": words, **({"within": list(within)} if within else {})}


def _read_query(text: str) -> str:
    """The query that follows a segment, cut at `LONGEST_QUERY`; "" if there is none.

    A quoted one ends at the last quote; a bare one, as LongVideo-R1's prompt shows it, at the last `)` or the end.
    """
    begin = _QUERY.match(text)
    if begin is None:
        return ""
    query = text[begin.end() : begin.end() + LONGEST_QUERY]
    comma, quote = begin.groups()
    if quote:
        return _ESCAPE.sub(_unescaped, query[: max(0, query.rfind(_CLOSING[quote]))]).strip()
    return query[: query.rindex(")") if ")" in query else None].strip() if comma else ""


def _unescaped(found: re.Match[str]) -> str:
    return " " if found.group(1) == "n" else found.group(1)


def _read_json_call(text: str, tools: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    try:
        record, _ = json.JSONDecoder().raw_decode(text.strip())
    except (ValueError, RecursionError):  # no JSON, an integer of thousands of digits, or nested too deep
        return None
    arguments = record.get("arguments") if isinstance(record, dict) else None
    if not isinstance(arguments, dict) or record.get("name") not in tools:
        return None
    if record["name"] in (SEARCH, JUMP):
        return _json_lookup(record["name"], arguments)
    segment, query = parse_path(arguments.get("segment")), arguments.get("query")
    if segment is None:
        return None
    if record["name"] == GET_CAPTION:
        return GET_CAPTION, {"segment": list(segment)}
    if not isinstance(query, str) or not query.strip():
        return None
    return VIDEO_QA, {"segment": list(segment), "query": query.strip()[:LONGEST_QUERY]}


def _json_lookup(name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    said, within = arguments.get("query" if name == SEARCH else "time"), arguments.get("within")
    if name == JUMP and isinstance(said, (int, float)) and not isinstance(said, bool):
        said = str(said)[:20]
    if not isinstance(said, str) or not said.strip():
        return None
    if name == JUMP:
        return JUMP, {"time": said.strip()[:LONGEST_QUERY]}
    path = parse_path(within) if within else None
    if within and path is None:
        return None
    return SEARCH, {"query": said.strip()[:LONGEST_QUERY], **({"within": list(path)} if path else {})}
