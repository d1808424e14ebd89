"""Grounding: how well the opened segments match the clue intervals, in [0, 1]. Each measure is a pure function."""

import math
from collections.abc import Iterable, Sequence, Set

from navigation import GET_CAPTION, SegmentPath, Visit
from navigation.tools import TOOL_NAMES
from rewards.visits import ClueTime, Tally, tally

MEASURES = ("navigation_f1", "interval_f1", "official")
_FREE = dict.fromkeys(TOOL_NAMES, 0.0)


def opened_paths(visits: Iterable[Visit]) -> set[SegmentPath]:
    """Segments whose caption was read. `video_qa` needs the caption first and opens nothing more."""
    return {visit.path for visit in visits if visit.tool == GET_CAPTION}


def coverage(visits: Sequence[Visit], clues: ClueTime) -> float | None:
    """Clue time opened, each second weighted by leaf length / length of the finest opened segment that holds it, over
    all clue time. In [0, 1], the same for every order of the visits. None if the clues hold no time.
    """
    if clues.total == 0.0:
        return None
    opened = opened_paths(visits)
    parts = []
    for path in opened:
        # The weights along one branch telescope: each opened segment adds what it is finer than the next above it.
        start, stop, fineness, parents = clues.places[path]
        above = next((clues.places[parent].fineness for parent in parents if parent in opened), 0.0)
        parts.append((fineness - above) * clues.within(start, stop))
    return min(1.0, math.fsum(parts) / clues.total)


def navigation_f1(visits: Sequence[Visit], clues: ClueTime) -> float | None:
    """F1 of precision = useful visits / visits and recall = the coverage of the useful visits (see `rewards.visits`).

    `video_qa` visits count in neither. None if the clues hold no time; 0 without visits.
    """
    return navigation_f1_of(tally(visits, clues, _FREE), clues)


def navigation_f1_of(result: Tally, clues: ClueTime) -> float | None:
    """`navigation_f1` of an episode that was read already."""
    if clues.total == 0.0:
        return None
    if not result.useful:
        return 0.0
    precision = result.useful / result.captions
    return 2 * precision * result.earned / (precision + result.earned)


def interval_f1(visits: Sequence[Visit], clues: ClueTime) -> float | None:
    """Temporal F1 of the exact unions of opened and clue intervals: 2·|both| / (|opened| + |clues|).

    The same for every order and every repetition of the visits. None if the clues hold no time; 0 without visits.
    """
    return f1_of_segments(opened_paths(visits), clues)


def f1_of_segments(opened: Set[SegmentPath], clues: ClueTime) -> float | None:
    """`interval_f1` of a set of segments."""
    if clues.total == 0.0:
        return None
    both, lengths = [], [clues.total]
    for path in opened:
        start, stop, _, parents = clues.places[path]
        if opened.isdisjoint(parents):
            both.append(clues.within(start, stop))
            lengths.append(stop - start)
    return min(1.0, 2 * math.fsum(both) / math.fsum(lengths))
