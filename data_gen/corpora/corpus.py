"""A corpus as every later stage sees it, whatever files it came from."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from navigation import CaptionTree, Question, SkippedRow


@dataclass
class Corpus:
    """Questions, the caption trees they are about, and the source rows that could not be used.

    Args:
        name: The name it is registered under; also `Question.source`.
        questions: Every id once, grouped by video or in the file's order.
        trees: One tree per video with a kept question, composed when it is asked for; can be iterated again. Empty
            where the trees come from captioning the videos.
        skipped: Source rows that became no question or no part of one, each with its reason.
        not_derived: Questions that sound annotations did not allow, by reason (derived corpora only).
    """

    name: str
    questions: list[Question]
    trees: Iterable[CaptionTree] = ()
    skipped: list[SkippedRow] = field(default_factory=list)
    not_derived: dict[str, int] = field(default_factory=dict)

    @property
    def skipped_by_reason(self) -> dict[str, int]:
        """How many rows were skipped for each reason, most frequent first."""
        return dict(Counter(row.reason for row in self.skipped).most_common())


class LazyTrees:
    """Caption trees composed one at a time, again at each iteration, so that a corpus of any size fits in memory.

    Args:
        video_ids: Which videos, in this order.
        compose: Makes the tree of one video.
    """

    def __init__(self, video_ids: Sequence[str], compose: Callable[[str], CaptionTree]) -> None:
        self.video_ids = video_ids
        self._compose = compose

    def __iter__(self) -> Iterator[CaptionTree]:
        return map(self._compose, self.video_ids)

    def __len__(self) -> int:
        return len(self.video_ids)
