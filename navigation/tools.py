"""The tools as every stage describes them to a model, what counts as a segment address, and who answers `video_qa`."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from navigation.caption_tree import CaptionTree
from navigation.errors import InputError
from navigation.grid import SegmentPath
from navigation.words import tokens_of

GET_CAPTION = "get_caption"
VIDEO_QA = "video_qa"
SEARCH = "search"
JUMP = "jump"
TOOL_NAMES = (GET_CAPTION, VIDEO_QA, SEARCH, JUMP)
DEFAULT_TOOLS = (GET_CAPTION, VIDEO_QA)

_WRITTEN_PATH = re.compile(r"\s*[\[(]?\s*(\d{1,4}(?:\s*,\s*\d{1,4}){0,31})\s*,?\s*[\])]?\s*", re.ASCII)


def parse_path(segment: object) -> SegmentPath | None:
    """A segment address from a tool's argument: a list of whole numbers, or the same written as a text; else None.

    `[2, 5]`, `(2, 5)`, `"[2, 5]"` and `3` are read; floats, booleans, nested lists and negative numbers are not.
    """
    if isinstance(segment, str):
        match = _WRITTEN_PATH.fullmatch(segment) if len(segment) <= 400 else None
        return tuple(int(number) for number in match.group(1).split(",")) if match else None
    if isinstance(segment, int) and not isinstance(segment, bool):
        return (segment,)
    if isinstance(segment, (list, tuple)) and 0 < len(segment) <= 32 and all(type(child) is int for child in segment):
        return tuple(segment)
    return None


# What transformers.utils.get_json_schema makes of the environment's methods, less the `return` that OpenAI's schema
# does not have: a test holds the two together. Written out so that nothing here needs transformers.
def _schema(name: str, description: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _address(description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "integer"}, "description": description}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


_SCHEMAS = {
    GET_CAPTION: _schema(
        GET_CAPTION,
        "Read the caption of one segment.",
        {"segment": _address("Address of the segment, for example [2, 5] or [2, 5, 1].")},
        ["segment"],
    ),
    VIDEO_QA: _schema(
        VIDEO_QA,
        "Ask a vision model about one segment of the last level, after reading its caption.",
        {
            "segment": _address("Address of the segment, for example [2, 5, 1]."),
            "query": _text("What to look for in the clip."),
        },
        ["segment", "query"],
    ),
    SEARCH: _schema(
        SEARCH,
        "Find segments by words. Each line of the reply is a text that matches, then its segment and time.",
        {
            "query": _text("Words to look for."),
            "within": _address("Address of the segment to look in, for example [2]; leave it out to look everywhere."),
        },
        ["query"],
    ),
    JUMP: _schema(
        JUMP,
        "Find the segment of the last level that holds a time.",
        {"time": _text("Time in the video, for example 12:30 or 1:02:30.")},
        ["time"],
    ),
}


ARGUMENTS = {name: tuple(schema["function"]["parameters"]["properties"]) for name, schema in _SCHEMAS.items()}
"""Names of each tool's arguments, in the order of its method's."""


def tool_schemas(names: Iterable[str]) -> list[dict[str, Any]]:
    """The tools' schemas, in the order of `TOOL_NAMES`."""
    chosen = set(names)
    return [_SCHEMAS[name] for name in TOOL_NAMES if name in chosen]


def names_of(schemas: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the tools that a record's schemas describe, in the order of `TOOL_NAMES`; others are left out."""
    named = {(schema.get("function") or {}).get("name") for schema in schemas}
    return tuple(name for name in TOOL_NAMES if name in named)


TOOLS: list[dict[str, Any]] = tool_schemas(DEFAULT_TOOLS)


def read_tools(value: object, source: str = "config") -> tuple[str, ...]:
    """Which tools an episode has, of a list or of a text with commas, in the order of `TOOL_NAMES`.

    Raises:
        InputError: no list or text, an unknown or doubled name, or no `get_caption`: nothing else opens a segment.
    """
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names:
        raise InputError(source, "tools", value, f"give some of {', '.join(TOOL_NAMES)}")
    for name in names:
        if name not in TOOL_NAMES or names.count(name) > 1:
            raise InputError(source, "tools", name, f"give each once, and only {', '.join(TOOL_NAMES)}")
    if GET_CAPTION not in names:
        raise InputError(source, "tools", value, f"add {GET_CAPTION}: no other tool opens a segment")
    return tuple(name for name in TOOL_NAMES if name in names)


class ClipAnswerer(Protocol):
    """Answers a free-form query about one leaf of a video. Picklable.

    What it raises (an endpoint that gave up, say) reaches whoever runs the episode; the call is no visit then.
    """

    def answer(self, tree: CaptionTree, path: SegmentPath, query: str) -> str: ...


class LineAnswerer:
    """Answers from the timed lines inside the leaf, best match to the query first (BM25).

    Stands in for a vision model where no video file exists. A leaf without lines answers with its caption.

    Args:
        count: How many lines to return at most.
    """

    def __init__(self, count: int = 3) -> None:
        self.count = count

    def answer(self, tree: CaptionTree, path: SegmentPath, query: str) -> str:
        texts = [line.told for line in tree.lines_in(path)]
        if not texts:
            return tree.captions.get(path) or "Nothing is known about this clip."
        return "\n".join(texts[index] for index in rank(query, texts)[: self.count])


def rank(query: str, texts: list[str]) -> list[int]:
    """Indices of `texts`, best BM25 match to `query` first; equal scores keep their order."""
    if len(texts) < 2:
        return list(range(len(texts)))
    import bm25s

    corpus = [tokens_of(text) for text in texts]
    words = tokens_of(query)
    known = {word for text in corpus for word in text}
    words = [word for word in words if word in known]
    if not words:
        return list(range(len(texts)))
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    scores = index.get_scores(words)
    return sorted(range(len(texts)), key=lambda position: (-float(scores[position]), position))
