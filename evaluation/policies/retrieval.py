"""Top-k retrieval over leaf captions, as Goldfish finds clips: few leaves opened, but every leaf captioned first."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluation.policies.leaf_index import LeafIndex
from evaluation.policies.planned import PlannedPolicy
from navigation import Path, Task, TreeStore

_KEPT = 64
"""Indices kept in memory: questions on one video mostly come one after another."""


@dataclass(frozen=True, kw_only=True)
class RetrievalPolicy(PlannedPolicy):
    """Opens the `visits` leaves whose captions match the question and its options best (BM25), then reads.

    Goldfish (arXiv 2407.12679) ranks clip summaries by embedding similarity; BM25 takes the embedding's place here.

    Args:
        trees: Where the leaf captions for the index come from.
    """

    trees: TreeStore
    visits: int = 4
    _indices: OrderedDict[str, LeafIndex] = field(default_factory=OrderedDict, repr=False, compare=False)

    name = "retrieval"
    reasoning = "I open the leaves whose captions match the question best."

    @property
    def settings(self) -> dict[str, int]:
        return {"seed": self.seed, "visits": self.visits}

    def plan(self, task: Task) -> Sequence[Path]:
        query = " ".join((task.question.question, *task.question.options))
        return self._index(task.question.video_id).search(query, self.visits)

    def index_captions(self, video_id: str) -> int:
        """How many captions the index of a video needs: one for every leaf."""
        return self._index(video_id).size

    def _index(self, video_id: str) -> LeafIndex:
        index = self._indices.get(video_id)
        if index is None:
            index = self._indices[video_id] = LeafIndex(self.trees[video_id])
            while len(self._indices) > _KEPT:
                self._indices.popitem(last=False)
        return index
