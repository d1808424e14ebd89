"""One pass over an episode's visits: what each earned, what it cost, and whether it could tell anything new."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from navigation import GET_CAPTION, InputError, SegmentPath, Visit
from rewards.clues import ClueTime


class Step(NamedTuple):
    """What one visit did.

    Attributes:
        visit: The visit.
        price: Its price in visit units.
        wasted: A repeat, or a segment opened after something inside it. It tells nothing new.
        clue_seconds: Clue time inside the segment; 0 without clue intervals.
        gain: How much it raised the coverage that `navigation_f1` counts, 0 to 1. Above 0 means useful.
    """

    visit: Visit
    price: float
    wasted: bool
    clue_seconds: float
    gain: float


class Walk(NamedTuple):
    """Sums over the visits of an episode.

    Attributes:
        cost: Price of all visits, in visit units.
        wasted_cost: Price of the wasted ones.
        visits: All visits.
        wasted: How many of them told nothing new.
        captions: `get_caption` visits.
        useful: How many of them raised the coverage.
        earned: Coverage of the useful visits, 0 to 1.
        fresh: Segments opened, the wasted visits left out; each once, in order.
        steps: Each visit's part, if it was asked for.
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


def walk(visits: Sequence[Visit], clues: ClueTime, prices: Mapping[str, float], keep_steps: bool = False) -> Walk:
    """Reads the visits in order.

    Coverage is clue time opened, each second weighted by leaf length / length of the finest opened segment that holds
    it (DESIGN §6), over all clue time. A `get_caption` visit is useful if it raises the coverage of the useful visits
    before it, and neither its segment nor anything inside it was opened before. So a repeat and a parent opened after
    its child earn nothing. `video_qa` is priced only; asking a leaf the same query again is wasted.

    Args:
        visits: Executed calls in order.
        clues: Clue time on the episode's grid.
        prices: Visit units by tool.
        keep_steps: Whether to return each visit's part.

    Raises:
        InputError: a visit lies outside the grid, or its tool has no price.
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
        path, price = visit.path, prices.get(visit.tool)
        if price is None:
            raise InputError("visit", "tool", visit.tool, f"give one of {', '.join(prices)}")
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
    return Walk(
        cost=cost, wasted_cost=wasted_cost, visits=len(visits), wasted=wasted_visits, captions=captions, useful=useful,
        earned=min(1.0, earned), fresh=tuple(fresh), steps=tuple(steps),
    )  # fmt: skip
