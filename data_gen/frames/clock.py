"""One clock for a stream whose time stamps begin again, jump, or are given twice."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_LONG_JUMP, _JUMP = 300.0, 60.0
_INTERVALS = 100


@dataclass(frozen=True, slots=True)
class Break:
    """Where stamps do not follow each other.

    Args:
        packet: Place in decode order of the first packet behind it (of a jump, the one that is shown first).
        ticks: By how much the stamps go on (a jump) or back (negative: they begin again).
    """

    packet: int
    ticks: int


def restarts(decoded: np.ndarray, most_back: int) -> list[Break]:
    """Where stamps that should ascend go back by more than `most_back` ticks.

    Args:
        decoded: int64 [packets], decode order: decoding times.
        most_back: What disorder is tolerated.
    """
    steps = np.diff(decoded)
    return [Break(int(place) + 1, int(steps[place])) for place in np.flatnonzero(steps < -most_back)]


def gaps(stamps: np.ndarray, tick: float) -> list[tuple[int, int]]:
    """Spans `(last stamp before, first behind)` too long for the other intervals of the stream to be a still picture.

    A minute and longer than all other frames together, or five minutes; and always a hundred times longer than nine of
    ten intervals.

    Args:
        stamps: int64 [packets], any order.
        tick: Seconds of one.
    """
    ordered = np.sort(stamps)
    steps = np.diff(ordered) * tick
    if not len(steps):
        return []
    usual = float(np.quantile(steps, 0.9))
    rest = float(steps[steps < _JUMP].sum())
    long = (steps >= _JUMP) & ((steps > rest) | (steps >= _LONG_JUMP)) & (steps >= _INTERVALS * usual)
    return [(int(ordered[place]), int(ordered[place + 1])) for place in np.flatnonzero(long)]


def uncovered(
    spans: Iterable[tuple[int, int]], tick: float, sound: Iterable[tuple[float, float]]
) -> Iterator[tuple[int, int]]:
    """Those spans of which less than half has sound, which lasts while a picture stands still.

    Args:
        sound: Seconds `(start, end)` of its packets.
    """
    spans = list(spans)
    heard = [0.0] * len(spans)
    for start, end in sound:
        for place, (before, behind) in enumerate(spans):
            heard[place] += max(0.0, min(end, behind * tick) - max(start, before * tick))
    for span, seconds in zip(spans, heard, strict=True):
        if seconds < (span[1] - span[0]) * tick / 2:
            yield span


def continuous(
    stamps: np.ndarray, begins: list[Break], silent: list[tuple[int, int]], frame: int
) -> tuple[np.ndarray, list[Break]]:
    """Stamps on one clock, int64 [packets], and all breaks by place: what begins again follows what was before.

    Args:
        stamps: int64 [packets], decode order.
        begins: Where they begin again.
        silent: Spans to be left out.
        frame: Ticks that a frame lasts.
    """
    clock, breaks = stamps.copy(), list(begins)
    edges = [0, *(each.packet for each in begins), len(stamps)]
    for begin, end in pairwise(edges):
        own = stamps[begin:end]
        for before, behind in silent:
            if (own == before).any() and (own == behind).any():
                clock[begin:end][own >= behind] -= behind - before - frame
                breaks.append(Break(begin + int(np.argmax(own == behind)), behind - before))
        if begin:
            clock[begin:end] += clock[:begin].max() + frame - clock[begin:end].min()
    return clock, sorted(breaks, key=lambda each: each.packet)


def undecodable(clock: np.ndarray, heads: np.ndarray, begins: list[Break]) -> Iterator[tuple[int, int, np.ndarray]]:
    """`(first packet, behind the last, bool [packets between])`: a part and which of its frames lack their keyframe.

    These are the packets before the part's first keyframe, and where there are any, the frames shown before it: they
    refer to what is not there. A stream that marks no keyframe at all lacks none.

    Args:
        clock: int64 [packets], decode order.
        heads: Places of keyframes, ascending.
        begins: Where a new part begins.
    """
    edges = [0, *(each.packet for each in begins), len(clock)]
    for begin, end in pairwise(edges):
        own = heads[(heads >= begin) & (heads < end)]
        if len(own) and own[0] > begin:
            yield begin, end, (np.arange(begin, end) < own[0]) | (clock[begin:end] < clock[own[0]])
        elif not len(own) and len(heads):
            yield begin, end, np.ones(end - begin, dtype=bool)
