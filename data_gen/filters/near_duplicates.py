"""Trajectories that say nearly what another trajectory on the same video says."""

import re
from collections import defaultdict
from collections.abc import Hashable

import numpy as np

from navigation import Trajectory, split_prompt

_WORD = re.compile(r"\w+")
_RUN = 3
_MIX = np.uint64(0x9E3779B97F4A7C15)
_POWERS = np.cumprod(np.full(64, _MIX, np.uint64))
# Bytes above 127 are parts of letters more often than of punctuation.
_IN_WORD = np.array([chr(byte).isalnum() or byte > 127 for byte in range(256)])


class NearDuplicates:
    """Remembers trajectories and tells whether a new one repeats one of them.

    Two trajectories of a video are near-duplicates if they ask the same question, by its words, and either make the
    same visits in the same order, or share at least `threshold` of their shingles (Jaccard index of the sets of runs of
    three words of reasoning and calls). A trajectory is remembered in four bytes a word.

    Args:
        threshold: 0 to 1; 1 leaves only equal ones.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold
        self._seen: dict[Hashable, list[tuple[int, np.ndarray]]] = defaultdict(list)

    def add(self, trajectory: Trajectory) -> bool:
        """Whether the trajectory repeats one that was added before; if not, it is remembered."""
        key = (trajectory.video_id, _normal(split_prompt(trajectory.messages[1]["content"])[1]))
        visits = hash(tuple(trajectory.visits))
        own = shingles(trajectory)
        for other_visits, other in self._seen[key]:
            if visits == other_visits:
                return True
            shared = len(np.intersect1d(own, other, assume_unique=True))
            if shared and shared >= self.threshold * (len(own) + len(other) - shared):
                return True
        self._seen[key].append((visits, own))
        return False


def _normal(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def shingles(trajectory: Trajectory) -> np.ndarray:
    """Hashes of the runs of words, each once, as 32-bit numbers."""
    texts = []
    for message in trajectory.messages:
        if message["role"] == "assistant":
            texts.append(message.get("reasoning_content") or "")
            texts += (str(call["function"]["arguments"]) for call in message.get("tool_calls") or ())
    data = np.frombuffer(" ".join(texts).lower().encode("utf-8", "replace"), np.uint8)
    hashes = _word_hashes(data)
    runs = np.zeros(max(1, len(hashes) - _RUN + 1), np.uint64)
    for place in range(min(_RUN, len(hashes))):
        runs = (runs + hashes[place : place + len(runs)] + np.uint64(1)) * _MIX
    # A product's upper half is the well-mixed one.
    found = np.sort((runs >> np.uint64(32)).astype(np.uint32))
    return found[np.append(True, found[1:] != found[:-1])]


def _word_hashes(data: np.ndarray) -> np.ndarray:
    """A 64-bit number for each word of UTF-8 bytes: the sum of its bytes times a power for each place in the word."""
    inside = _IN_WORD[data]
    starting = inside & ~np.append(False, inside[:-1])
    starts = np.flatnonzero(starting)
    if not len(starts):
        return np.zeros(0, np.uint64)
    # What stands before the first word belongs to no word; its value is 0.
    place = np.arange(len(data)) - starts[np.maximum(np.cumsum(starting) - 1, 0)]
    values = np.where(inside, (data.astype(np.uint64) + np.uint64(1)) * _POWERS[place % len(_POWERS)], np.uint64(0))
    return np.add.reduceat(values, starts)
