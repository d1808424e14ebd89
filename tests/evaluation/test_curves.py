"""Which metrics are drawn, whatever the log holds."""

import math

from evaluation.charts import curves_of


def names(charts):
    return [chart.name for chart in charts]


def test_imitation_has_a_loss_and_reinforcement_has_rewards():
    rows = [{"step": 1, "loss": 2.0, "eval_loss": 2.1}, {"step": 2, "loss": 1.0, "learning_rate": 1e-3}]
    [loss] = curves_of({"sft": rows})["sft"]
    assert loss.series == {"loss": [(1, 2.0), (2, 1.0)], "eval loss": [(1, 2.1)]}
    row = {
        "step": 1, "loss": 0.1, "reward": 1.0, "reward_std": 0.2, "accuracy": 0.5, "visits/mean": 4.0,
        "rewards/answer/mean": 0.5, "rewards/answer/std": 0.5, "rewards/visit_cost/mean": 3.0, "status/answered": 1.0,
    }  # fmt: skip
    charts = curves_of({"grpo": [row]})["grpo"]
    assert names(charts) == [
        "reward",
        "accuracy",
        "visits",
        "statuses",
        "part-rewards/answer/mean",
        "part-rewards/visit_cost/mean",
    ]
    assert charts[1].highest == 1.0


def test_rows_that_cannot_be_drawn_are_left_out():
    rows = [{"loss": 1.0}, {"step": 1, "loss": math.nan}, {"step": 2, "loss": None}, {"step": True, "loss": 1.0},
            {"step": 4, "loss": "high"}, {"step": 6, "loss": 3.0}, {"step": 5, "loss": 2.0}]  # fmt: skip
    assert curves_of({"sft": rows})["sft"][0].series == {"loss": [(5, 2.0), (6, 3.0)]}
    assert curves_of({"sft": rows[:5], "grpo": []}) == {}
