import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from navigation import GET_CAPTION, VIDEO_QA, InputError, SegmentPath, TimeGrid, Visit
from rewards import ClueTime, coverage, interval_f1, navigation_f1
from rewards.visits import merge

Intervals = list[tuple[int, int]]


@st.composite
def grids(draw: st.DrawFn) -> TimeGrid:
    """Leaves last whole seconds, so that one-second cells are an exact discretisation."""
    width, depth, leaf = draw(st.integers(2, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    assume(width**depth <= 128)
    return TimeGrid(float(leaf * width**depth), width, depth)


def paths(grid: TimeGrid) -> st.SearchStrategy[SegmentPath]:
    return st.lists(st.integers(1, grid.width), min_size=1, max_size=grid.depth).map(tuple)


def visits(grid: TimeGrid, most: int = 8) -> st.SearchStrategy[list[Visit]]:
    return st.lists(st.builds(Visit, st.sampled_from([GET_CAPTION, GET_CAPTION, VIDEO_QA]), paths(grid)), max_size=most)


@st.composite
def clues(draw: st.DrawFn, grid: TimeGrid) -> Intervals:
    """Empty, touching, overlapping, nested, without length, the whole video, and past its end."""
    end = int(grid.duration)
    intervals = []
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, end + 3))
        intervals.append((begin, begin + draw(st.integers(0, end))))
    if draw(st.integers(0, 9)) == 0:
        intervals.append((0, end))
    return intervals


@st.composite
def scenes(draw: st.DrawFn) -> tuple[TimeGrid, Intervals, list[Visit]]:
    grid = draw(grids())
    return grid, draw(clues(grid)), draw(visits(grid))


def cells(grid: TimeGrid, intervals: Intervals) -> set[int]:
    return {second for begin, end in intervals for second in range(begin, end) if second < grid.duration}


def segment_cells(grid: TimeGrid, path: SegmentPath) -> set[int]:
    low, high = 0, int(grid.duration)
    for child in path:
        length = (high - low) // grid.width
        low, high = low + (child - 1) * length, low + child * length
    return set(range(low, high))


def seconds_in(time: ClueTime, path: SegmentPath) -> float:
    place = time.places[path]
    return time.within(place.start, place.stop)


def brute_coverage(grid: TimeGrid, clue: set[int], opened: list[SegmentPath]) -> float:
    finest = dict.fromkeys(clue, 0.0)
    for path in opened:
        for cell in segment_cells(grid, path) & clue:
            finest[cell] = max(finest[cell], 1 / grid.width ** (grid.depth - len(path)))
    return sum(finest.values()) / len(clue)


def brute_navigation_f1(grid: TimeGrid, clue: set[int], opened: list[SegmentPath]) -> float:
    useful: list[SegmentPath] = []
    for position, path in enumerate(opened):
        late = any(earlier[: len(path)] == path for earlier in opened[:position])
        if not late and brute_coverage(grid, clue, [*useful, path]) > brute_coverage(grid, clue, useful) + 1e-12:
            useful.append(path)
    if not useful:
        return 0.0
    precision, recall = len(useful) / len(opened), brute_coverage(grid, clue, useful)
    return 2 * precision * recall / (precision + recall)


@given(scenes())
@settings(max_examples=300, deadline=None)
def test_measures_equal_a_discretisation_of_time(scene: tuple[TimeGrid, Intervals, list[Visit]]) -> None:
    grid, intervals, tally = scene
    time, clue = ClueTime(intervals, grid), cells(grid, intervals)
    opened = [visit.path for visit in tally if visit.tool == GET_CAPTION]
    assert time.total == pytest.approx(len(clue))
    for path in opened:
        start, stop, _, _ = time.places[path]
        assert time.within(start, stop) == pytest.approx(len(segment_cells(grid, path) & clue), abs=1e-9)
        assert stop - start == pytest.approx(len(segment_cells(grid, path)))
    if not clue:
        assert interval_f1(tally, time) is coverage(tally, time) is navigation_f1(tally, time) is None
        return
    union = set().union(*(segment_cells(grid, path) for path in opened))
    assert interval_f1(tally, time) == pytest.approx(2 * len(union & clue) / (len(union) + len(clue)))
    assert coverage(tally, time) == pytest.approx(brute_coverage(grid, clue, opened))
    assert navigation_f1(tally, time) == pytest.approx(brute_navigation_f1(grid, clue, opened))


@given(scenes(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_measures_lie_in_the_unit_interval_and_two_ignore_the_order(scene, random) -> None:
    grid, intervals, tally = scene
    time = ClueTime(intervals, grid)
    assume(time.total > 0)
    shuffled = random.sample(tally, len(tally))
    for measure in (interval_f1, coverage, navigation_f1):
        value = measure(tally, time)
        assert value is not None
        assert 0 <= value <= 1
        if measure is not navigation_f1:
            assert measure(shuffled, time) == value


@given(scenes(), st.data())
@settings(deadline=None)
def test_what_tells_nothing_new_never_raises_a_measure(scene, data) -> None:
    grid, intervals, tally = scene
    time = ClueTime(intervals, grid)
    assume(time.total > 0)
    opened = [visit.path for visit in tally if visit.tool == GET_CAPTION]
    extra = data.draw(paths(grid))
    misses = seconds_in(time, extra) == 0
    late = any(path[: len(extra)] == extra for path in opened)
    assume(misses or late)
    longer = [*tally, Visit(GET_CAPTION, extra)]
    assert navigation_f1(longer, time) <= navigation_f1(tally, time)
    if misses:
        assert interval_f1(longer, time) <= interval_f1(tally, time) + 1e-12
        assert coverage(longer, time) == pytest.approx(coverage(tally, time))
    if extra in opened:
        assert interval_f1(longer, time) == interval_f1(tally, time)


@given(grids().filter(lambda grid: grid.depth > 1), st.data())
@settings(deadline=None)
def test_a_child_does_not_launder_a_wrong_segment(grid: TimeGrid, data) -> None:
    """With the wrong segment opened first, opening one of its children never beats not opening the child."""
    leaf = grid.path(data.draw(st.integers(0, grid.width**grid.depth - 1)), grid.depth)
    time = ClueTime([grid.interval(leaf)], grid)
    tally = data.draw(visits(grid))
    wide = [path for path in grid.paths() if not grid.is_leaf(path) and seconds_in(time, path) == 0]
    wrong = data.draw(st.sampled_from(wide))
    child = (*wrong, data.draw(st.integers(1, grid.width)))
    before = [*tally, Visit(GET_CAPTION, wrong)]
    after = [*before, Visit(GET_CAPTION, child)]
    assert navigation_f1(after, time) <= navigation_f1(before, time)
    assert interval_f1(after, time) <= interval_f1(before, time) + 1e-12


@given(grids(), st.data())
@settings(deadline=None)
def test_interval_f1_moves_continuously_with_the_clue(grid: TimeGrid, data) -> None:
    """F1 = 2·both / (opened + clue): a shift by d changes `both` and, at the ends, `clue` by at most d each."""
    length = data.draw(st.floats(0.1, grid.duration))
    begin = data.draw(st.floats(0, grid.duration - length))
    shift = data.draw(st.floats(0, grid.leaf_length, exclude_max=True))
    tally = data.draw(visits(grid))
    here = ClueTime([(begin, begin + length)], grid)
    there = ClueTime([(begin + shift, begin + shift + length)], grid)
    assume(there.total > 0)
    bound = 4 * shift / min(here.total, there.total)
    assert abs(interval_f1(tally, here) - interval_f1(tally, there)) <= bound + 1e-9


def test_merge_joins_what_touches_and_drops_what_has_no_length() -> None:
    assert merge([(5, 7), (0, 2), (2, 3), (6, 6.5), (9, 9), (8, 99), (-3, 0), (50, 60)], 10.0) == (
        (0.0, 3),
        (5, 7),
        (8, 10.0),
    )


@pytest.mark.parametrize(
    ("tally", "value"),
    [
        ([(2, 1)], 2 * 1 * (1 / 3) / (4 / 3)),
        ([(2, 1), (2, 1, 1)], 1.0),
        ([(2,), (2, 1), (2, 1, 1)], 1.0),
        ([(2, 1, 1), (2, 1)], 2 * 0.5 * 1 / 1.5),
        ([(2, 1, 1)] * 4, 2 * 0.25 * 1 / 1.25),
        ([(3,), (3, 1)], 0.0),
        ([], 0.0),
    ],
)
def test_navigation_f1_by_hand(tally: list[SegmentPath], value: float) -> None:
    grid = TimeGrid(270.0, 3, 3)
    time = ClueTime([grid.interval((2, 1, 1))], grid)
    assert navigation_f1([Visit(GET_CAPTION, path) for path in tally], time) == pytest.approx(value)


def test_a_visit_outside_the_grid_is_named() -> None:
    with pytest.raises(InputError) as error:
        navigation_f1([Visit(GET_CAPTION, (4,))], ClueTime([(0, 1)], TimeGrid(27.0, 3, 3)))
    assert (error.value.field, error.value.value) == ("path", (4,))


def test_touching_at_a_boundary_is_no_overlap() -> None:
    grid = TimeGrid(math.pi * 100, 3, 3)
    for path in list(grid.paths(3))[:-1]:
        start, stop = grid.interval(path)
        time = ClueTime([(start, stop)], grid)
        following = grid.path(grid.index(path) + 1, 3)
        assert seconds_in(time, following) == 0
        assert interval_f1([Visit(GET_CAPTION, path)], time) == 1
