"""Top-k retrieval over leaf captions, as Goldfish finds clips: few leaves opened, but every leaf captioned first.

Goldfish: Vision-Language Understanding of Arbitrarily Long Videos (arXiv 2407.12679). As read: every short clip is
described, descriptions and subtitles are embedded, and the k clips most similar to the question are given to the
answering model.

Simplified: the answer is made from the captions of the k leaves, not from their frames. Ranking is by BM25, or by an
embedding model where one is named.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import bm25s
from bm25s.stopwords import STOPWORDS_EN

from evaluation.policies.planned import PlannedPolicy
from navigation import CaptionTree, SegmentPath, Task, TreeStore
from navigation.search import Encoder, load_encoder, unit
from navigation.words import tokens_of


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
    return [word for word in tokens_of(text) if word not in STOPWORDS_EN]


class EmbeddingIndex:
    """Ranks the leaves of a tree by cosine similarity of their captions' embeddings to the query's.

    Args:
        tree: Leaves without a caption are left out.
        encode: Makes the embeddings.
    """

    def __init__(self, tree: CaptionTree, encode: Encoder) -> None:
        self.leaves: Sequence[SegmentPath] = [
            path for path in tree.grid.paths(tree.grid.depth) if path in tree.captions
        ]
        self._encode = encode
        self._vectors = unit(encode([tree.captions[path] for path in self.leaves])) if self.leaves else None

    @property
    def size(self) -> int:
        """Captions that had to exist for this index."""
        return len(self.leaves)

    def search(self, query: str, count: int) -> list[SegmentPath]:
        """The `count` best leaves, best first; equal scores in time order."""
        if self._vectors is None:
            return []
        scores = self._vectors @ unit(self._encode([query]))[0]
        order = sorted(range(len(self.leaves)), key=lambda index: (-round(float(scores[index]), 6), index))
        return [self.leaves[index] for index in order[:count]]


_KEPT = 64
"""Indices kept in memory: questions on one video mostly come one after another."""


@dataclass(frozen=True, kw_only=True)
class RetrievalPolicy(PlannedPolicy):
    """Opens the `visits` leaves whose captions match the question and its options best, then reads.

    Args:
        trees: Where the leaf captions for the index come from.
        embedder: Folder or Hub name of a sentence-transformers model; empty: BM25.
    """

    trees: TreeStore
    visits: int = 4
    embedder: str = ""
    _indices: OrderedDict[str, LeafIndex | EmbeddingIndex] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )

    name = "retrieval"
    reasoning = "I open the leaves whose captions match the question best."

    def plan(self, task: Task) -> Sequence[SegmentPath]:
        query = " ".join((task.question.question, *task.question.options))
        return self._index(task.question.video_id).search(query, self.visits)

    def index_captions(self, video_id: str) -> int:
        """How many captions the index of a video needs: one for every leaf."""
        return self._index(video_id).size

    def _index(self, video_id: str) -> LeafIndex | EmbeddingIndex:
        index = self._indices.get(video_id)
        if index is None:
            tree = self.trees[video_id]
            index = EmbeddingIndex(tree, load_encoder(self.embedder)) if self.embedder else LeafIndex(tree)
            self._indices[video_id] = index
            while len(self._indices) > _KEPT:
                self._indices.popitem(last=False)
        return index
