import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_gen.frames import FrameRecipe, asks
from navigation import InputError, TimeGrid
from navigation.grid import sample_times


@given(
    duration=st.floats(0.5, 1e5), width=st.integers(2, 4), depth=st.integers(1, 3),
    frames=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)  # fmt: skip
def test_every_segment_asks_inside_its_span_and_all_in_time_order(duration, width, depth, frames):
    grid, recipe = TimeGrid(duration, width, depth), FrameRecipe(tuple(frames), (100,))
    found = list(asks(grid, recipe))
    assert [ask.time for ask in found] == sorted(ask.time for ask in found)
    by_path = {}
    for ask in found:
        start, end = grid.interval(ask.path)
        assert start <= ask.time < end
        by_path.setdefault(ask.path, []).append(ask.position)
    assert set(by_path) == set(grid.paths())
    assert all(positions == list(range(recipe.count(len(path), depth))) for path, positions in by_path.items())


def test_published_counts_for_ten_and_sixty_minutes():
    recipe = FrameRecipe()
    for minutes, segments, jpegs in ((10, 84, 3584), (60, 258, 9984)):
        grid = TimeGrid.for_duration(60.0 * minutes)
        assert grid.segment_count == segments
        assert sum(recipe.count(len(path), grid.depth) for path in grid.paths()) == jpegs


def test_levels_above_the_recipe_take_its_last_entry():
    recipe = FrameRecipe()
    assert [recipe.count(level, 5) for level in range(1, 6)] == [128, 128, 128, 64, 32]
    assert [recipe.side(level, 5) for level in range(1, 6)] == [256, 256, 256, 362, 512]


def test_asks_of_a_day_take_no_memory():
    grid = TimeGrid.for_duration(86400.0, depth="auto")
    tracemalloc.start()
    count = sum(1 for _, _ in zip(asks(grid, FrameRecipe()), range(50_000), strict=False))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 2_000_000


def test_sample_times_are_middles():
    assert sample_times(10.0, 14.0, 4) == [10.5, 11.5, 12.5, 13.5]


@pytest.mark.parametrize("wrong", [{"frames": ()}, {"frames": (0,)}, {"sides": (8,)}, {"quality": 0}, {"quality": 99}])
def test_a_recipe_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError) as error:
        FrameRecipe(**wrong)
    assert error.value.field in wrong
