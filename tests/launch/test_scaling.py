"""docs/scaling.md says what benchmarks/scaling.py computes, and the measured figures are what our code gives."""

from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest

from benchmarks import scaling
from data_gen.frames import FrameRecipe
from navigation import TimeGrid
from trainer.estimate import model_config, step_flops

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("table", ["hours_table", "efficiency_table", "notes_table", "figures_table"])
def test_the_page_has_the_computed_rows(table):
    page = (ROOT / "docs" / "scaling.md").read_text()
    for row in getattr(scaling, table)():
        assert row in page


def test_the_page_says_where_it_stops_as_computed():
    page = " ".join((ROOT / "docs" / "scaling.md").read_text().split())
    for bullet in scaling.limits():
        assert " ".join(bullet.split()) in page


def test_the_page_of_the_whole_road_has_the_same_hours_and_seconds():
    page = (ROOT / "docs" / "reproduction.md").read_text()
    captions, trajectories, sft, after, over = (stage(8)[0] * 8 for stage in scaling.STAGES.values())
    for hours in (captions, trajectories, sft, after, over):
        assert f"{hours:.0f} GPU hours, {hours * 2.5:,.0f} USD" in page
    assert f"{scaling.caption_seconds():.0f} GPU-seconds a video" in page
    step = scaling.rl_step(8, False)
    seconds = (
        f"{step.whole:.0f} s a step: {step.generate:.0f} to generate, meanwhile {step.look:.0f} for the vision model"
    )
    assert seconds in page
    assert f"{scaling.rl_step(8, True).whole:.0f} s a step, the vision model's" in page
    together = captions + trajectories + sft + 11  # and the evaluation
    for every in (together + after, together + over):
        assert f"{round(every, -1):.0f} " in page


def test_a_step_waits_for_the_vision_model():
    for gpus in (8, 64, 512):
        for overlapped in (False, True):
            step = scaling.rl_step(gpus, overlapped)
            assert step.whole >= max(step.generate, step.look, step.train)


def test_training_costs_what_the_estimator_says():
    config = model_config(str(ROOT / "configs" / "model" / "qwen3_8b_random.yaml"))
    each = step_flops(config, 1, scaling.figure("trajectory_tokens"))
    assert scaling.train_operations(1.0) == pytest.approx(each, rel=0.01)


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
        tokens += count * recipe.frames[place] * ceil(long / 32) * ceil(short / 32)
    assert tokens == pytest.approx(scaling.figure("image_tokens"), rel=0.01)
    # The same model looks at clips: 16 frames of 1,024 by 576 px.
    assert 16 * ceil(1024 / 32) * ceil(576 / 32) == pytest.approx(scaling.figure("qa_tokens"), rel=0.01)


def test_more_gpus_never_take_longer_and_never_less_than_their_share():
    for stage in scaling.STAGES.values():
        hours = [stage(gpus)[0] for gpus in (8, 16, 32, 64, 128, 256, 512)]
        assert hours == sorted(hours, reverse=True)
        for before, after in pairwise(hours):
            assert after >= before / 2 - 1e-9
