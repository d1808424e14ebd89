"""Confidence intervals for means over questions: the percentile bootstrap, resampled by question."""

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
_CELLS = 4_000_000
"""Weights held at a time: 32 MB."""

METHOD = f"percentile bootstrap, {RESAMPLES} resamples of questions"


def ratio_intervals(
    sums: np.ndarray, counts: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> np.ndarray:
    """Intervals for `sums.sum(0) / counts.sum(0)`, column by column.

    Questions are drawn with replacement and bring all their samples along, because samples of one question are not
    independent. Every column sees the same draws. Source: Efron and Tibshirani, An Introduction to the Bootstrap,
    section 13.3.

    Args:
        sums: `(questions, metrics)`: a metric summed over a question's samples.
        counts: `(questions, metrics)`: how many samples had a value.
        seed: Of the draws.
        resamples: How many draws.
        level: How much of the draws lies inside the interval.

    Returns:
        `(metrics, 2)`: low and high; NaN where no sample had a value.
    """
    sums, counts = np.asarray(sums, float), np.asarray(counts, float)
    questions, metrics = sums.shape
    if not questions:
        return np.full((metrics, 2), np.nan)
    draw = np.random.default_rng(seed)
    both = np.concatenate([sums, counts], axis=1)
    chance = np.full(questions, 1 / questions)
    drawn = []
    for begin in range(0, resamples, step := max(1, _CELLS // questions)):
        # How often each question is drawn, instead of which: the resampled sums are then one matrix product.
        drawn.append(draw.multinomial(questions, chance, min(step, resamples - begin)) @ both)
    totals = np.concatenate(drawn)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = totals[:, :metrics] / totals[:, metrics:]
    bounds = np.full((metrics, 2), np.nan)
    tail = (1 - level) / 2
    for metric in range(metrics):
        valid = ratios[np.isfinite(ratios[:, metric]), metric]
        if len(valid):
            bounds[metric] = np.quantile(valid, [tail, 1 - tail])
    return bounds
