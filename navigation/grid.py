"""The time grid: where every segment of a caption tree begins and ends. Nothing else computes boundaries."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from navigation.errors import InputError, is_number

SegmentPath: TypeAlias = tuple[int, ...]
"""Address of a segment: 1-based child numbers from the top level down."""

LEAF_SECONDS = 16.0
"""Target length of a leaf, in seconds (LongVideo-R1, caption generation)."""


def default_width(duration: float, minimum: int = 4) -> int:
    """Children per segment for a video of `duration` seconds: ``clamp(round((duration / 16) ** (1/3)), minimum, 8)``.

    Source: LongVideo-R1's released caption generation; MLVU uses ``minimum=3``.

    Raises:
        InputError: duration not positive and finite.
    """
    _check_duration(duration)
    return min(8, max(minimum, round((duration / LEAF_SECONDS) ** (1 / 3))))


def auto_depth(duration: float, width: int) -> int:
    """Fewest levels, at least 3, at which a leaf lasts at most 16 s."""
    depth = 3
    while duration / width**depth > LEAF_SECONDS:
        depth += 1
    return depth


def format_path(path: SegmentPath) -> str:
    """`(2, 5)` as `[2, 5]`, the way tools and captions write it."""
    return "[" + ", ".join(map(str, path)) + "]"


def clock(seconds: float) -> str:
    """Seconds as `M:SS` or `H:MM:SS`, rounded down."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _check_duration(duration: object) -> None:
    if not is_number(duration) or duration <= 0:
        raise InputError("time grid", "duration", duration, "give the video's length in seconds, above 0")


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """Equal nested division of `[0, duration]` seconds into `depth` levels of `width` children each.

    Raises:
        InputError: duration not positive and finite, width below 2, or depth below 1.
    """

    duration: float
    width: int
    depth: int = 3

    def __post_init__(self) -> None:
        _check_duration(self.duration)
        object.__setattr__(self, "duration", float(self.duration))
        for name, least in (("width", 2), ("depth", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError("time grid", name, value, f"give a whole number of at least {least}")

    @classmethod
    def for_duration(cls, duration: float, minimum_width: int = 4, depth: int | str = 3) -> "TimeGrid":
        """The published shape for a video of `duration` seconds; `depth="auto"` adds levels until leaves last 16 s."""
        width = default_width(duration, minimum_width)
        if depth == "auto":
            # The width is checked first: one child a segment would never reach 16 s.
            depth = auto_depth(duration, cls(duration, width).width)
        if not isinstance(depth, int):
            raise InputError("time grid", "depth", depth, 'give a whole number or "auto"')
        return cls(duration, width, depth)

    @property
    def leaf_length(self) -> float:
        """Length of a leaf in seconds."""
        return self.duration / self.width**self.depth

    def contains(self, path: SegmentPath) -> bool:
        """Whether `path` addresses a segment of this grid."""
        return 1 <= len(path) <= self.depth and all(1 <= child <= self.width for child in path)

    def is_leaf(self, path: SegmentPath) -> bool:
        return len(path) == self.depth

    def index(self, path: SegmentPath) -> int:
        """0-based position of a segment among those of its level.

        Raises:
            InputError: `path` lies outside the grid.
        """
        if not self.contains(path):
            raise InputError(
                "time grid", "path", path, f"use 1 to {self.depth} numbers, each between 1 and {self.width}"
            )
        index = 0
        for child in path:
            index = index * self.width + child - 1
        return index

    def path(self, index: int, level: int) -> SegmentPath:
        """Inverse of `index`: the segment at 0-based position `index` of 1-based `level`.

        Raises:
            InputError: no such level, or no such position on it.
        """
        if not 1 <= level <= self.depth:
            raise InputError("time grid", "level", level, f"give a level from 1 to {self.depth}")
        if not 0 <= index < self.width**level:
            raise InputError("time grid", "index", index, f"give a position from 0 to {self.width**level - 1}")
        digits = []
        for _ in range(level):
            index, digit = divmod(index, self.width)
            digits.append(digit + 1)
        return tuple(reversed(digits))

    def interval(self, path: SegmentPath) -> tuple[float, float]:
        """Begin and end of a segment in seconds. Children partition their parent exactly."""
        # Every boundary is `duration * (whole number / width ** depth)`, computed one way: a parent's end, its last
        # child's end and its next sibling's begin are the same float.
        index, cells = self.index(path), self.width**self.depth
        span = self.width ** (self.depth - len(path))
        return self.boundary(index * span, cells), self.boundary((index + 1) * span, cells)

    def boundary(self, cell: int, cells: int) -> float:
        return self.duration if cell == cells else self.duration * (cell / cells)

    def path_at(self, time: float, level: int | None = None) -> SegmentPath:
        """The segment of `level` (default: leaf) that holds `time`; the duration itself falls in the last one.

        Times before 0 or after the end are refused.
        """
        level = self.depth if level is None else level
        if not 0 <= time <= self.duration:
            raise InputError("time grid", "time", time, f"give seconds between 0 and {self.duration}")
        # The last segment that has begun. Searched among the boundaries themselves: dividing by the duration rounds
        # differently from multiplying by it. A fraction of equal value is the same float on every level.
        first, last = 0, self.width**level - 1
        count = last + 1
        while first < last:
            middle = (first + last + 1) // 2
            if self.boundary(middle, count) <= time:
                first = middle
            else:
                last = middle - 1
        return self.path(first, level)

    def overlapping(self, begin: float, end: float, level: int | None = None) -> list[SegmentPath]:
        """Segments of `level` (default: leaf) that share time with `[begin, end]`; a point has the one holding it."""
        level = self.depth if level is None else level
        begin, end = max(0.0, begin), min(self.duration, end)
        if begin > end:
            return []
        first = self.index(self.path_at(begin, level))
        last = self.index(self.path_at(end, level))
        while last > first and self.interval(self.path(last, level))[0] >= end:
            last -= 1
        return [self.path(index, level) for index in range(first, last + 1)]

    def paths(self, level: int | None = None) -> Iterator[SegmentPath]:
        """All segments of one level in time order, or of every level from the top down."""
        for each in [level] if level is not None else range(1, self.depth + 1):
            for index in range(self.width**each):
                yield self.path(index, each)

    @property
    def segment_count(self) -> int:
        return sum(self.width**level for level in range(1, self.depth + 1))


def sample_times(start: float, end: float, count: int) -> list[float]:
    """Middles of `count` equal parts of `[start, end)`, in seconds: none is the end, which is the next segment's."""
    step = (end - start) / count
    return [start + (index + 0.5) * step for index in range(count)]
