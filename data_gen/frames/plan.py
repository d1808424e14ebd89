"""Which moments of a video each segment asks for, in time order over all levels."""

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from data_gen.frames.recipe import FrameRecipe
from navigation import SegmentPath, TimeGrid


@dataclass(frozen=True, slots=True, order=True)
class Ask:
    """One moment that one segment asks for.

    Args:
        time: Seconds from the video's begin.
        path: The segment.
        position: 0-based place among the segment's frames.
    """

    time: float
    path: SegmentPath
    position: int


def sample_times(start: float, end: float, count: int) -> list[float]:
    """Middles of `count` equal parts of `[start, end)`, in seconds: none is the end, which is the next segment's."""
    step = (end - start) / count
    return [start + (index + 0.5) * step for index in range(count)]


def asks(grid: TimeGrid, recipe: FrameRecipe, wanted: Collection[SegmentPath] | None = None) -> Iterator[Ask]:
    """All asks in time order, made one by one: memory does not grow with the video.

    Args:
        wanted: Segments that need frames; None for all.
    """
    return heapq.merge(*(_level_asks(grid, recipe, level, wanted) for level in range(1, grid.depth + 1)))


def _level_asks(
    grid: TimeGrid, recipe: FrameRecipe, level: int, wanted: Collection[SegmentPath] | None
) -> Iterator[Ask]:
    count = recipe.count(level, grid.depth)
    for path in grid.paths(level):
        if wanted is None or path in wanted:
            for position, time in enumerate(sample_times(*grid.interval(path), count)):
                yield Ask(time, path, position)
