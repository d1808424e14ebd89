"""Walks that say nearly what another walk on the same video says."""

import re
from collections import defaultdict
from collections.abc import Hashable

from navigation import Trajectory

_WORD = re.compile(r"\w+")


class NearDuplicates:
    """Remembers walks and tells whether a new one repeats one of them.

    Two walks of a video are near-duplicates if they ask the same question, by its words, and either make the same
    visits in the same order, or share at least `threshold` of their shingles (Jaccard index of the sets of runs of
    three words of reasoning and calls).

    Args:
        threshold: 0 to 1; 1 leaves only equal ones.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold
        self._seen: dict[Hashable, list[tuple[tuple, frozenset[int]]]] = defaultdict(list)

    def add(self, walk: Trajectory) -> bool:
        """Whether the walk repeats one that was added before; if not, it is remembered."""
        key = (walk.video_id, _normal(walk.messages[1]["content"].partition("\n\nThe video lasts ")[0]))
        visits = tuple(walk.visits)
        shingles = _shingles(walk)
        for other_visits, other in self._seen[key]:
            if visits == other_visits:
                return True
            shared = len(shingles & other)
            if shared and shared >= self.threshold * (len(shingles) + len(other) - shared):
                return True
        self._seen[key].append((visits, shingles))
        return False


def _normal(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def _shingles(walk: Trajectory) -> frozenset[int]:
    words = []
    for message in walk.messages:
        if message["role"] == "assistant":
            words += _WORD.findall((message.get("reasoning_content") or "").lower())
            for call in message.get("tool_calls") or ():
                words += _WORD.findall(str(call["function"]["arguments"]))
    return frozenset(hash(tuple(words[index : index + 3])) for index in range(max(1, len(words) - 2)))
