"""One pass over an episode's visits against the clue intervals as exact time: what each earned, and what it cost."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from navigation import GET_CAPTION, JUMP, InputError, Lookup, SegmentPath, TimeGrid, Visit
from navigation.times import read_time
from navigation.words import terms


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


class Step(NamedTuple):
    """What one visit or lookup did.

    Attributes:
        visit: The visit, or the lookup.
        price: Its price in visit units.
        wasted: A repeat, or a segment opened after something inside it. It tells nothing new.
        clue_seconds: Clue time inside the segment; 0 without clue intervals, and for a lookup, which opens none.
        gain: How much it raised the coverage that `navigation_f1` counts, 0 to 1. Above 0 means useful.
    """

    visit: Visit | Lookup
    price: float
    wasted: bool
    clue_seconds: float
    gain: float


class Tally(NamedTuple):
    """Sums over the visits and lookups of an episode.

    Attributes:
        cost: Price of all visits and lookups, in visit units.
        wasted_cost: Price of the wasted ones.
        visits: All visits.
        wasted: How many visits and lookups told nothing new.
        captions: `get_caption` visits.
        useful: How many of them raised the coverage.
        earned: Coverage of the useful visits, 0 to 1.
        fresh: Segments opened, the wasted visits left out; each once, in order.
        steps: Each visit's part, then each lookup's, if they were asked for.
        lookups: Searches and jumps.
    """

    cost: float
    wasted_cost: float
    visits: int
    wasted: int
    captions: int
    useful: int
    earned: float
    fresh: tuple[SegmentPath, ...]
    steps: tuple[Step, ...] = ()
    lookups: int = 0


def tally(
    visits: Sequence[Visit],
    clues: ClueTime,
    prices: Mapping[str, float],
    keep_steps: bool = False,
    lookups: Sequence[Lookup] = (),
) -> Tally:
    """Reads the visits in order.

    Coverage is clue time opened, each second weighted by leaf length / length of the finest opened segment that holds
    it (DESIGN §6), over all clue time. A `get_caption` visit is useful if it raises the coverage of the useful visits
    before it, and neither its segment nor anything inside it was opened before. So a repeat and a parent opened after
    its child earn nothing. `video_qa` is priced only; asking a leaf the same query again is wasted.

    A lookup opens nothing, whatever its reply shows: it is priced and earns nothing. One for the same words in the same
    segment, in any order and form, is wasted.

    Args:
        visits: Visits in order.
        clues: Clue time on the episode's grid.
        prices: Visit units by tool.
        keep_steps: Whether to return each visit's and lookup's part.
        lookups: Searches and jumps in order.

    Raises:
        InputError: a visit lies outside the grid, or a tool has no price.
    """
    cost = wasted_cost = earned = 0.0
    wasted_visits = captions = useful = 0
    opened: set[SegmentPath] = set()  # opened segments and every segment above one
    asked: set[Visit] = set()
    fineness: dict[SegmentPath, float] = {}  # of useful visits
    fresh: list[SegmentPath] = []
    steps: list[Step] = []
    total, places, within = clues.total, clues.places, clues.within
    for visit in visits:
        path, price = visit.path, _price(visit.tool, prices)
        cost += price
        seconds = gain = 0.0
        if visit.tool == GET_CAPTION:
            captions += 1
            start, stop, own, parents = places[path]
            seconds = within(start, stop)
            wasted = path in opened
            if not wasted:
                opened.add(path)
                fresh.append(path)
                opened.update(parents)
                if seconds > 0.0:
                    above = 0.0
                    for parent in parents:
                        if parent in fineness:
                            above = fineness[parent]
                            break
                    fineness[path] = own
                    gain = (own - above) * seconds / total
                    useful += 1
                    earned += gain
        else:
            wasted = visit in asked
            asked.add(visit)
        if wasted:
            wasted_visits += 1
            wasted_cost += price
        if keep_steps:
            steps.append(Step(visit, price, wasted, seconds, gain))
    said: set[tuple[object, ...]] = set()
    for lookup in lookups:
        price, key = _price(lookup.tool, prices), _same_lookup(lookup)
        wasted = key in said
        said.add(key)
        cost += price
        if wasted:
            wasted_visits += 1
            wasted_cost += price
        if keep_steps:
            steps.append(Step(lookup, price, wasted, 0.0, 0.0))
    return Tally(
        cost=cost, wasted_cost=wasted_cost, visits=len(visits), wasted=wasted_visits, captions=captions, useful=useful,
        earned=min(1.0, earned), fresh=tuple(fresh), steps=tuple(steps), lookups=len(lookups),
    )  # fmt: skip


def _price(tool: str, prices: Mapping[str, float]) -> float:
    price = prices.get(tool)
    if price is None:
        raise InputError("visit", "tool", tool, f"give one of {', '.join(prices)}")
    return price


def _same_lookup(lookup: Lookup) -> tuple[object, ...]:
    """Equal for two lookups of which the second tells nothing new: the same words, in any order and form, or second."""
    said: object = frozenset(terms(lookup.query))
    if lookup.tool == JUMP:
        seconds = read_time(lookup.query)
        said = lookup.query if seconds is None else int(seconds)
    return lookup.tool, lookup.within, said
