"""docs/scaling.md says what benchmarks/scaling.py computes, and the measured figures are what our code gives."""

from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest

from benchmarks import scaling
from data_gen.frames import FrameRecipe
from navigation import TimeGrid

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("table", ["hours_table", "efficiency_table", "notes_table", "figures_table"])
def test_the_page_has_the_computed_rows(table):
    page = (ROOT / "docs" / "scaling.md").read_text()
    for row in getattr(scaling, table)():
        assert row in page


def test_the_launch_page_has_the_same_hours():
    page = (ROOT / "launch" / "README.md").read_text()
    for row in scaling.hours_table():
        assert row in page


def test_every_figure_says_where_it_comes_from():
    for name, figure in scaling.FIGURES.items():
        assert figure.origin in ("measured", "published", "assumed"), name
        assert figure.value > 0


def test_segments_and_image_tokens_are_those_of_our_grid_and_recipe():
    grid = TimeGrid.for_duration(scaling.figure("video_seconds"))
    counts = [grid.width**level for level in range(1, grid.depth + 1)]
    assert sum(counts) == scaling.figure("segments")
    recipe = FrameRecipe()
    tokens = 0
    for level, count in enumerate(counts, 1):
        place = grid.depth - level
        long, short = recipe.sides[place], recipe.sides[place] * 9 / 16
        tokens += count * recipe.frames[place] * ceil(long / 28) * ceil(short / 28)
    assert tokens == pytest.approx(scaling.figure("image_tokens"), rel=0.05)


def test_more_gpus_never_take_longer_and_never_less_than_their_share():
    for stage in scaling.STAGES.values():
        hours = [stage(gpus)[0] for gpus in (8, 16, 32, 64, 128, 256, 512)]
        assert hours == sorted(hours, reverse=True)
        for before, after in pairwise(hours):
            assert after >= before / 2 - 1e-9
