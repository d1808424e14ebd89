"""Bootstrap intervals against what is known in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.bootstrap import ratio_intervals


def interval(values, seed=0, **options):
    values = np.asarray(values, float)[:, None]
    return ratio_intervals(values, np.ones_like(values), seed, **options)[0]


@pytest.mark.parametrize("chance", [0.3, 0.6])
def test_intervals_of_bernoulli_means_cover_the_truth_as_often_as_they_say(chance):
    draw = np.random.default_rng(1)
    trials = 400
    covered = 0
    for trial in range(trials):
        low, high = interval(draw.random(120) < chance, seed=trial, resamples=1000)
        covered += low <= chance <= high
    # 0.95 of 400 within four standard errors, and the percentile method's known shortfall of a point or two.
    assert 0.90 <= covered / trials <= 0.99


def test_width_is_the_normal_approximation_for_many_questions():
    values = np.arange(2000) % 5 == 0
    low, high = interval(values)
    expected = 2 * 1.96 * (0.2 * 0.8 / 2000) ** 0.5
    assert high - low == pytest.approx(expected, rel=0.06)
    assert (low + high) / 2 == pytest.approx(0.2, abs=0.002)


def test_samples_of_one_question_are_drawn_together():
    draw = np.random.default_rng(0)
    right = draw.random(100) < 0.5
    alone = interval(right)
    eight_equal_samples = ratio_intervals((right * 8.0)[:, None], np.full((100, 1), 8.0))[0]
    assert eight_equal_samples == pytest.approx(alone)


def test_one_seed_one_interval_whatever_the_block_size(monkeypatch):
    values = np.random.default_rng(0).random(50)
    whole = interval(values, seed=7)
    assert np.array_equal(whole, interval(values, seed=7))
    assert not np.array_equal(whole, interval(values, seed=8))
    monkeypatch.setattr("evaluation.bootstrap._CELLS", 50 * 300)
    assert interval(values, seed=7) == pytest.approx(whole)


def test_a_metric_that_few_have_uses_those_few():
    sums = np.array([[1.0], [0.0], [0.0]])
    counts = np.array([[1.0], [0.0], [0.0]])
    assert ratio_intervals(sums, counts)[0].tolist() == [1.0, 1.0]
    assert np.isnan(ratio_intervals(np.zeros((3, 1)), np.zeros((3, 1)))).all()
    assert np.isnan(ratio_intervals(np.zeros((0, 2)), np.zeros((0, 2)))).all()


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
def test_an_interval_lies_within_the_values(values):
    low, high = interval(values, resamples=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
