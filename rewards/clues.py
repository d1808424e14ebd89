"""Clue intervals as exact time: merged, clipped to the video, and measured segment by segment."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from navigation import SegmentPath, TimeGrid


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


class Place(NamedTuple):
    """Where a segment lies, whatever the question.

    Attributes:
        start: Its begin in seconds.
        stop: Its end in seconds.
        fineness: Leaf length / its length.
        above: The segments that hold it, the nearest first.
    """

    start: float
    stop: float
    fineness: float
    above: tuple[SegmentPath, ...]


class Places(dict[SegmentPath, Place]):
    """Places of a grid's segments, each worked out when it is first asked for.

    Raises:
        InputError: asked for a path outside the grid.
    """

    def __init__(self, grid: TimeGrid) -> None:
        self.grid = grid

    def __missing__(self, path: SegmentPath) -> Place:
        start, stop = self.grid.interval(path)
        above = tuple(path[:level] for level in range(len(path) - 1, 0, -1))
        place = self[path] = Place(start, stop, float(self.grid.width) ** (len(path) - self.grid.depth), above)
        return place


@lru_cache(maxsize=512)
def places_of(grid: TimeGrid) -> Places:
    """The `Places` that every question about a video shares."""
    return Places(grid)


class ClueTime:
    """A question's clues on a grid.

    Args:
        intervals: Clue intervals in seconds; may overlap, touch or reach past the end.
        grid: The grid that segments are addressed on.

    Attributes:
        merged: Their union inside the video, disjoint and in order.
        total: Its length in seconds.
        places: The grid's segments.
    """

    def __init__(self, intervals: Sequence[Sequence[float]], grid: TimeGrid) -> None:
        self.grid = grid
        self.merged = merge(intervals, grid.duration)
        self.total = sum(end - begin for begin, end in self.merged)
        self.places = places_of(grid)

    def within(self, start: float, stop: float) -> float:
        """Clue seconds in `[start, stop]`. Exactly 0 where no clue is."""
        inside = 0.0
        for begin, end in self.merged:
            if begin >= stop:
                break
            if end > start:
                inside += (end if end < stop else stop) - (begin if begin > start else start)
        return inside


@lru_cache(maxsize=4096)
def clue_time(intervals: tuple[tuple[float, float], ...], grid: TimeGrid) -> ClueTime:
    """`ClueTime`, kept between the rollouts of a question."""
    return ClueTime(intervals, grid)
