"""Two rankings of the evidence that must agree: SeViCES.

SeViCES: Unifying Semantic-Visual Evidence Consensus for Long Video Understanding (arXiv 2510.20622). As read: a
semantic branch lets a language model rate captions in their order in time; a visual branch groups frames into clusters
and takes the best of each; frames that both choose are kept, and where the two lead to different answers, the answer is
chosen among those two from the evidence of both.

Simplified: there are no frames, so both branches read leaf captions. The semantic branch ranks them by BM25 against
question and options, each raised by its neighbours in time; the other ranks by the question alone and takes the best
leaf of each of `visits` equal spans of time, which is what clustering by content in time comes down to. Rounds of
opening follow the summed ranks; the answer space is narrowed by the verdict on both sets of notes. Like every ranking
of leaves it needs all of them captioned.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluation.policies.reader import Verdict
from evaluation.policies.retrieval import LeafIndex
from evaluation.policies.search import Look, SearchPolicy
from navigation import SegmentPath, TreeStore

_KEPT = 64


@dataclass(frozen=True, kw_only=True)
class ConsensusPolicy(SearchPolicy):
    """Opens half of its visits where both rankings agree, and the rest where each alone points, if answers differ.

    Args:
        trees: Where the leaf captions for the rankings come from.
    """

    trees: TreeStore
    _indices: OrderedDict[str, LeafIndex] = field(default_factory=OrderedDict, repr=False, compare=False)

    name = "consensus"

    def index_captions(self, video_id: str) -> int:
        """How many captions the rankings of a video need: one for every leaf."""
        return self._index(video_id).size

    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        semantic, spread = self._rankings(look)
        if not look.tried:
            return _agreed(semantic, spread)[: max(1, self.visits // 2)], "Both rankings point here."
        first = await self._from(look, set(semantic[: self.visits]))
        second = await self._from(look, set(spread[: self.visits]))
        if first.letter == second.letter and min(first.confidence, second.confidence) > 0:
            return await self.judge.verdict(look.task, look.notes)
        waiting = [path for path in _agreed(semantic, spread) if path not in set(look.tried)]
        return waiting[: look.left], "The two rankings lead to different answers: I read on."

    async def _from(self, look: Look, paths: set[SegmentPath]) -> Verdict:
        return await self.judge.verdict(look.task, [note for note in look.notes if note.path in paths])

    def _rankings(self, look: Look) -> tuple[list[SegmentPath], list[SegmentPath]]:
        """Leaves by both branches, best first."""
        question = look.task.question
        index = self._index(question.video_id)
        leaves = index.leaves
        with_options = index.scores(" ".join((question.question, *question.options)))
        raised = [
            score + 0.25 * sum(with_options[near] for near in (place - 1, place + 1) if 0 <= near < len(leaves))
            for place, score in enumerate(with_options)
        ]
        semantic = sorted(range(len(leaves)), key=lambda place: (-raised[place], place))
        alone = index.scores(question.question)
        spans = min(self.visits, len(leaves))
        best = sorted(
            (max(_part(len(leaves), spans, span), key=lambda place: (alone[place], -place)) for span in range(spans)),
            key=lambda place: (-alone[place], place),
        )
        chosen = set(best)
        rest = sorted(set(range(len(leaves))) - chosen, key=lambda place: (-alone[place], place))
        return [leaves[place] for place in semantic], [leaves[place] for place in [*best, *rest]]

    def _index(self, video_id: str) -> LeafIndex:
        index = self._indices.get(video_id)
        if index is None:
            index = self._indices[video_id] = LeafIndex(self.trees[video_id])
            while len(self._indices) > _KEPT:
                self._indices.popitem(last=False)
        return index


def _agreed(first: Sequence[SegmentPath], second: Sequence[SegmentPath]) -> list[SegmentPath]:
    """By the worse of its two ranks, then by the sum: what both rank high comes first."""
    other = {path: rank for rank, path in enumerate(second)}
    ranks = [(max(rank, other[path]), rank + other[path], path) for rank, path in enumerate(first)]
    return [path for *_, path in sorted(ranks)]


def _part(count: int, parts: int, part: int) -> range:
    return range(part * count // parts, (part + 1) * count // parts)
