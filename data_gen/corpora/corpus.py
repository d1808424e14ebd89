"""A corpus as every later stage sees it, whatever files it came from."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from navigation import CaptionTree, Question, SkippedRow


@dataclass
class Corpus:
    """Questions, the caption trees they are about, and the source rows that could not be used.

    Args:
        name: The name it is registered under; also `Question.source`.
        questions: In the order of their ids' files, every id once.
        trees: One tree per video with a kept question, composed when it is asked for; can be iterated again. Empty
            where the trees come from captioning the videos.
        skipped: Source rows that became no question, each with its reason.
    """

    name: str
    questions: list[Question]
    trees: Iterable[CaptionTree] = ()
    skipped: list[SkippedRow] = field(default_factory=list)

    @property
    def skipped_by_reason(self) -> dict[str, int]:
        """How many rows were skipped for each reason, most frequent first."""
        return dict(Counter(row.reason for row in self.skipped).most_common())
