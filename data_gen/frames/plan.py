"""Which moments of a video each segment asks for, in time order over all levels, and how its frames are made."""

import heapq
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from navigation import InputError, SegmentPath, TimeGrid
from navigation.grid import sample_times


@dataclass(frozen=True, slots=True)
class FrameRecipe:
    """Frames by level, counted from the leaves up; levels above take the last entry.

    The defaults are LongVideo-R1's: 32 frames a leaf, 64 medium, 128 high, long side 512/√(1, 2, 4) px. Frames are
    never enlarged.

    Args:
        frames: Frames a segment.
        sides: Longest side in px, at least 16 (published minimum: 140).
        quality: JPEG quality, 1 to 95 (libjpeg's scale).
    """

    frames: tuple[int, ...] = (32, 64, 128)
    sides: tuple[int, ...] = (512, 362, 256)
    quality: int = 75

    def __post_init__(self) -> None:
        for name, least, most in (("frames", 1, 4096), ("sides", 16, 8192)):
            values = getattr(self, name)
            if not values or not all(type(value) is int and least <= value <= most for value in values):
                raise InputError(
                    "frame recipe", name, values, f"give whole numbers between {least} and {most}, leaf first"
                )
        if type(self.quality) is not int or not 1 <= self.quality <= 95:
            raise InputError("frame recipe", "quality", self.quality, "give a whole number between 1 and 95")

    def count(self, level: int, depth: int) -> int:
        """Frames of a segment of 1-based `level` in a tree of `depth` levels."""
        return self.frames[min(depth - level, len(self.frames) - 1)]

    def side(self, level: int, depth: int) -> int:
        """Longest side of those frames in px."""
        return self.sides[min(depth - level, len(self.sides) - 1)]

    def to_dict(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


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
