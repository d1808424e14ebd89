"""The two tools as every stage describes them to a model, and what counts as a segment address."""

import re
from typing import Any

from navigation.grid import SegmentPath

GET_CAPTION = "get_caption"
VIDEO_QA = "video_qa"

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


# What transformers.utils.get_json_schema makes of the environment's methods; a test holds the two together. Written
# out so that nothing here needs transformers.
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": GET_CAPTION,
            "description": "Read the caption of one segment.",
            "parameters": {
                "type": "object",
                "properties": {
                    "segment": {
                        "type": "array",
                        "items": {"type": "integer"},
                        "description": "Address of the segment, for example [2, 5] or [2, 5, 1].",
                    }
                },
                "required": ["segment"],
            },
            "return": {"type": "string"},
        },
    },
    {
        "type": "function",
        "function": {
            "name": VIDEO_QA,
            "description": "Ask a vision model about one segment of the last level, after reading its caption.",
            "parameters": {
                "type": "object",
                "properties": {
                    "segment": {
                        "type": "array",
                        "items": {"type": "integer"},
                        "description": "Address of the segment, for example [2, 5, 1].",
                    },
                    "query": {"type": "string", "description": "What to look for in the clip."},
                },
                "required": ["segment", "query"],
            },
            "return": {"type": "string"},
        },
    },
]
