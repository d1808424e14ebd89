"""The tools as every stage describes them to a model, what counts as a segment address, and who answers `video_qa`."""

import re
from typing import Any, Protocol

from navigation.caption_tree import CaptionTree
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


# What transformers.utils.get_json_schema makes of the environment's methods, less the `return` that OpenAI's schema
# does not have: a test holds the two together. Written out so that nothing here needs transformers.
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
        },
    },
]


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
        texts = [line.text for line in tree.lines_in(path)]
        if not texts:
            return tree.captions.get(path) or "Nothing is known about this clip."
        return "\n".join(texts[index] for index in rank(query, texts)[: self.count])


def rank(query: str, texts: list[str]) -> list[int]:
    """Indices of `texts`, best BM25 match to `query` first; equal scores keep their order."""
    if len(texts) < 2:
        return list(range(len(texts)))
    import bm25s

    corpus = bm25s.tokenize(texts, stopwords=None, show_progress=False, return_ids=False)
    words = bm25s.tokenize(query, stopwords=None, show_progress=False, return_ids=False)[0]
    known = {word for text in corpus for word in text}
    words = [word for word in words if word in known]
    if not words:
        return list(range(len(texts)))
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    scores = index.get_scores(words)
    return sorted(range(len(texts)), key=lambda position: (-float(scores[position]), position))
