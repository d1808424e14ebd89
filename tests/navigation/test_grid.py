import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navigation import InputError, TimeGrid, default_width
from navigation.grid import LEAF_SECONDS, auto_depth, clock

durations = st.one_of(
    st.floats(min_value=0.01, max_value=1e7),
    st.floats(min_value=5e-324, max_value=1e308),
    st.integers(1, 10**6),
    st.sampled_from([0.1, 2741.0, 86400.0, 1 / 3, 5e-324, 1.7e308]),
)


@st.composite
def grids(draw):
    return TimeGrid(draw(durations), draw(st.integers(2, 8)), draw(st.integers(1, 5)))


@st.composite
def grid_and_path(draw):
    grid = draw(grids())
    return grid, tuple(draw(st.lists(st.integers(1, grid.width), min_size=1, max_size=grid.depth)))


def neighbours(value):
    return [math.nextafter(value, -math.inf), value, math.nextafter(value, math.inf)]


@given(grid_and_path())
def test_children_partition_their_parent_as_floats(case):
    grid, path = case
    begin, end = grid.interval(path)
    if not grid.is_leaf(path):
        children = [grid.interval((*path, child)) for child in range(1, grid.width + 1)]
        assert children[0][0] == begin
        assert children[-1][1] == end
        assert all(left[1] == right[0] for left, right in pairwise(children))


@given(grids(), st.integers(1, 3))
def test_a_level_covers_the_video(grid, level):
    level = min(level, grid.depth)
    intervals = [grid.interval(path) for path in grid.paths(level)]
    assert (intervals[0][0], intervals[-1][1]) == (0.0, grid.duration)
    assert all(begin <= end for begin, end in intervals)
    assert all(left[1] == right[0] for left, right in pairwise(intervals))


@given(grid_and_path())
def test_boundaries_are_the_exact_ones_but_for_rounding(case):
    grid, path = case
    length = Fraction(grid.duration) / grid.width ** len(path)
    for found, cell in zip(grid.interval(path), (grid.index(path), grid.index(path) + 1), strict=True):
        # Two roundings, each of half a unit in the last place; near zero a unit is the smallest float.
        assert abs(Fraction(found) - cell * length) <= 2 * Fraction(math.ulp(found))


@given(grid_and_path())
def test_index_and_path_are_inverse(case):
    grid, path = case
    assert grid.path(grid.index(path), len(path)) == path


@given(grids(), st.data())
def test_path_at_is_the_segment_that_holds_the_time(grid, data):
    level = data.draw(st.integers(1, grid.depth))
    cells = grid.width**level
    near = [time for time in neighbours(grid.boundary(data.draw(st.integers(0, cells)), cells)) if time >= 0]
    time = min(data.draw(st.one_of(st.floats(0, grid.duration), st.sampled_from(near))), grid.duration)
    path = grid.path_at(time, level)
    begin, end = grid.interval(path)
    index = grid.index(path)
    assert len(path) == level
    assert begin <= time
    assert time < end or index == cells - 1
    assert path == grid.path_at(time)[:level]


@given(st.floats(1.0, 1e6), st.integers(2, 8), st.integers(1, 4), st.data())
def test_path_at_the_begin_of_a_segment_is_that_segment(duration, width, depth, data):
    grid = TimeGrid(duration, width, depth)
    path = tuple(data.draw(st.lists(st.integers(1, width), min_size=1, max_size=depth)))
    assert grid.path_at(grid.interval(path)[0], len(path)) == path


def test_the_end_falls_in_the_last_segment():
    grid = TimeGrid(2741.0, 6)
    assert grid.path_at(2741.0) == (6, 6, 6)
    assert grid.path_at(2741.0, 1) == (6,)
    assert grid.path_at(0) == (1, 1, 1)


@pytest.mark.parametrize("time", [-1e-9, 2741.1, math.nan, math.inf])
def test_times_outside_the_video_are_refused(time):
    with pytest.raises(InputError) as error:
        TimeGrid(2741.0, 6).path_at(time)
    assert error.value.field == "time"


@given(st.floats(1.0, 1e6), st.integers(2, 6), st.integers(1, 3), st.floats(-0.2, 1.2), st.floats(-0.2, 1.2))
def test_overlapping_is_what_shares_time(duration, width, depth, one, other):
    grid = TimeGrid(duration, width, depth)
    begin, end = sorted((one * duration, other * duration))
    found = grid.overlapping(begin, end)
    cut = (max(0.0, begin), min(grid.duration, end))
    if cut[0] > cut[1]:
        assert found == []
    elif cut[0] == cut[1]:
        assert found == [grid.path_at(cut[0])]
    else:
        intervals = {path: grid.interval(path) for path in grid.paths(depth)}
        assert found == [path for path, (left, right) in intervals.items() if left < cut[1] and right > cut[0]]


def test_overlapping_at_a_higher_level():
    grid = TimeGrid(270.0, 3)
    assert grid.overlapping(89.0, 91.0, 1) == [(1,), (2,)]
    assert grid.overlapping(90.0, 180.0, 1) == [(2,)]
    assert grid.overlapping(90.0, 90.0, 1) == [(2,)]


@pytest.mark.parametrize(
    ("duration", "width", "mlvu"),
    [(16, 4, 3), (180, 4, 3), (480, 4, 3), (1450, 4, 4), (2000, 5, 5), (2741, 6, 6), (3600, 6, 6), (5000, 7, 7),
     (9000, 8, 8), (86400, 8, 8)],
)  # fmt: skip
def test_published_widths(duration, width, mlvu):
    assert default_width(duration) == width
    assert default_width(duration, minimum=3) == mlvu
    assert TimeGrid.for_duration(duration) == TimeGrid(duration, width, 3)


def test_a_day_long_video_is_a_few_visits_deep():
    grid = TimeGrid.for_duration(86_400.0, depth="auto")
    assert (grid.width, grid.depth) == (8, 5)
    assert grid.leaf_length <= LEAF_SECONDS
    assert TimeGrid(86_400.0, 8, 4).leaf_length > LEAF_SECONDS


@given(st.floats(1e-3, 1e9), st.integers(2, 8))
def test_auto_depth_is_the_fewest_levels(duration, width):
    depth = auto_depth(duration, width)
    assert duration / width**depth <= LEAF_SECONDS
    assert depth == 3 or duration / width ** (depth - 1) > LEAF_SECONDS


@settings(deadline=None)
@given(st.floats(0, 86_400))
def test_deep_grids_find_times_fast(time):
    grid = TimeGrid(86_400.0, 2, 200)
    begin, end = grid.interval(grid.path_at(time))
    assert begin <= time <= end


@pytest.mark.parametrize("duration", [0, -1, math.nan, math.inf, 10**400, "12", None, True])
def test_bad_durations_are_named(duration):
    for make in (lambda: TimeGrid(duration, 4), lambda: TimeGrid.for_duration(duration, depth="auto")):
        with pytest.raises(InputError) as error:
            make()
        assert error.value.field == "duration"


@pytest.mark.parametrize(("width", "depth"), [(1, 3), (0, 3), (2.0, 3), (True, 3), (4, 0), (4, "3"), (4, None)])
def test_bad_shapes_are_named(width, depth):
    with pytest.raises(InputError) as error:
        TimeGrid(10.0, width, depth)
    assert error.value.field == ("depth" if width == 4 else "width")


def test_a_width_of_one_never_reaches_short_leaves():
    with pytest.raises(InputError) as error:
        TimeGrid.for_duration(20.0, minimum_width=1, depth="auto")
    assert (error.value.field, error.value.value) == ("width", 1)


@pytest.mark.parametrize("path", [(), (0,), (5,), (1, 1, 1, 1), (-1,)])
def test_paths_outside_are_refused(path):
    grid = TimeGrid(10.0, 4)
    assert not grid.contains(path)
    with pytest.raises(InputError) as error:
        grid.interval(path)
    assert (error.value.field, error.value.value) == ("path", path)


@pytest.mark.parametrize(("index", "level"), [(-1, 1), (4, 1), (0, 0), (0, 4)])
def test_positions_outside_are_refused(index, level):
    with pytest.raises(InputError) as error:
        TimeGrid(10.0, 4).path(index, level)
    assert error.value.field == ("level" if level in (0, 4) else "index")


def test_every_segment_once_from_the_top_down():
    grid = TimeGrid(10.0, 3)
    paths = list(grid.paths())
    assert len(paths) == len(set(paths)) == grid.segment_count == 39
    assert [len(path) for path in paths] == sorted(len(path) for path in paths)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (600, "10:00"), (86399, "23:59:59")])
def test_clock(seconds, text):
    assert clock(seconds) == text
