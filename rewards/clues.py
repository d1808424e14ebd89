"""Clue intervals as exact time: merged, clipped to the video, and measured segment by segment."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

from navigation import Path, TimeGrid


def merge(intervals: Sequence[Sequence[float]], duration: float) -> tuple[tuple[float, float], ...]:
    """Union of `intervals` inside `[0, duration]` as disjoint `(begin, end)` pairs in order, in seconds.

    Touching intervals become one. What has no length, or lies outside the video, holds no time and is left out.
    """
    merged: list[tuple[float, float]] = []
    for begin, end in sorted((max(0.0, pair[0]), min(duration, pair[1])) for pair in intervals):
        if end <= begin:
            continue
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return tuple(merged)


class ClueTime:
    """How many seconds of a question's clues each segment of a grid holds.

    Args:
        intervals: Clue intervals in seconds; may overlap, touch or reach past the end.
        grid: The grid that segments are addressed on.
    """

    def __init__(self, intervals: Sequence[Sequence[float]], grid: TimeGrid) -> None:
        self.grid = grid
        self.merged = merge(intervals, grid.duration)
        self.total = sum(end - begin for begin, end in self.merged)
        self._begins = [begin for begin, _ in self.merged]
        self._known: dict[Path, tuple[float, float]] = {}

    def measure(self, path: Path) -> tuple[float, float]:
        """`(clue seconds inside the segment, its length in seconds)`.

        Raises:
            InputError: `path` lies outside the grid.
        """
        found = self._known.get(path)
        if found is None:
            start, stop = self.grid.interval(path)
            inside = 0.0
            for begin, end in self.merged[max(0, bisect_right(self._begins, start) - 1) :]:
                if begin >= stop:
                    break
                inside += max(0.0, min(end, stop) - max(begin, start))
            found = self._known[path] = (inside, stop - start)
        return found


@lru_cache(maxsize=4096)
def clue_time(intervals: tuple[tuple[float, float], ...], grid: TimeGrid) -> ClueTime:
    """`ClueTime`, kept between the rollouts of a question."""
    return ClueTime(intervals, grid)
