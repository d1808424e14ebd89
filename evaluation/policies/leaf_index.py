"""A BM25 index over the leaf captions of one video."""

from collections.abc import Sequence

import bm25s

from navigation import CaptionTree, SegmentPath


class LeafIndex:
    """Ranks the leaves of a tree by their captions (bm25s, Lucene's BM25 formula).

    Args:
        tree: Leaves without a caption are left out.
    """

    def __init__(self, tree: CaptionTree) -> None:
        self.leaves: Sequence[SegmentPath] = [
            path for path in tree.grid.paths(tree.grid.depth) if path in tree.captions
        ]
        texts = [_words(tree.captions[path]) for path in self.leaves]
        self._known = {word for text in texts for word in text}
        self._scorer = None
        if self._known:
            self._scorer = bm25s.BM25()
            self._scorer.index(texts, show_progress=False)

    @property
    def size(self) -> int:
        """Captions that had to exist for this index."""
        return len(self.leaves)

    def scores(self, query: str) -> list[float]:
        """One score a leaf, in the order of `leaves`; all 0 where no word of the query is known."""
        words = [word for word in _words(query) if word in self._known]
        if self._scorer is None or not words:
            return [0.0] * len(self.leaves)
        return [float(score) for score in self._scorer.get_scores(words)]

    def search(self, query: str, count: int) -> list[SegmentPath]:
        """The `count` best leaves, best first; equal scores in time order."""
        scores = self.scores(query)
        order = sorted(range(len(self.leaves)), key=lambda index: (-scores[index], index))
        return [self.leaves[index] for index in order[:count]]


def _words(text: str) -> list[str]:
    return bm25s.tokenize([text], stopwords="en", show_progress=False, return_ids=False)[0]
