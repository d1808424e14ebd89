"""Who answers `video_qa`: one small interface, and the answerer that needs no video."""

from typing import Protocol

from navigation.caption_tree import CaptionTree
from navigation.grid import SegmentPath


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
