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

from evaluation.policies.embedding_index import EmbeddingIndex, load_encoder
from evaluation.policies.leaf_index import LeafIndex
from evaluation.policies.planned import PlannedPolicy
from navigation import SegmentPath, Task, TreeStore

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
