import json
from types import SimpleNamespace

import pytest
from transformers import Trainer, TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler

from navigation import InputError
from rewards import RewardMix
from rewards.trl_functions import COST_METRIC, steering_callback, steering_callbacks, trl_functions


def steered(**settings) -> RewardMix:
    return RewardMix.from_config({"visit_cost": {"target": 3.0, "learning_rate": 0.01, **settings}})


def log(callback, value: float | None) -> None:
    callback.on_log(None, TrainerState(), TrainerControl(), logs={} if value is None else {COST_METRIC: value})


def test_dual_ascent_step_by_step() -> None:
    mix = steered(weight=0.02)
    callback = steering_callback(mix)
    log(callback, 4.0)
    assert mix.cost_weight.value == pytest.approx(0.03)
    log(callback, 2.5)
    assert mix.cost_weight.value == pytest.approx(0.025)
    log(callback, None)
    assert mix.weights["visit_cost"] == pytest.approx(-0.025)
    log(callback, 50.0)
    assert mix.cost_weight.value == mix.settings.visit_cost.max_weight
    for _ in range(9):
        log(callback, 0.0)
    assert mix.cost_weight.value == 0.0


def test_the_multiplier_brings_a_policy_that_answers_to_it_to_the_target() -> None:
    """A policy whose cost falls with its weight: cost = 6 - 100 · weight, so that the target needs 0.03."""
    mix = steered(weight=0.0)
    callback = steering_callback(mix)
    for _ in range(40):
        log(callback, 6 - 100 * mix.cost_weight.value)
    assert mix.cost_weight.value == pytest.approx(0.03, abs=1e-3)


def test_a_fixed_weight_stays_and_has_no_callback() -> None:
    mix = RewardMix()
    assert mix.cost_weight.update(99.0) == 0.03
    assert steering_callbacks(mix) == []
    with pytest.raises(InputError) as error:
        steering_callback(mix)
    assert error.value.field == "visit_cost.target"


def test_a_steered_mix_brings_its_callback() -> None:
    mix = steered(weight=0.02)
    (callback,) = steering_callbacks(mix)
    log(callback, 4.0)
    assert mix.cost_weight.value == pytest.approx(0.03)


def test_the_asynchronous_engine_refuses_a_steered_weight() -> None:
    with pytest.raises(InputError) as error:
        trl_functions(steered(), weighted=True)
    assert error.value.field == "visit_cost.target"


def test_the_steered_weight_reaches_the_reward_at_once() -> None:
    mix = steered(weight=0.02)
    functions, weights = trl_functions(mix)
    assert dict(zip([each.__name__ for each in functions], weights, strict=True))["visit_cost"] == -1.0
    mix.cost_weight.value = 0.04
    assert mix.weights["visit_cost"] == -0.04


def saved_state(tmp_path, mix: RewardMix) -> TrainerState:
    """What a checkpoint holds: trainer_state.json, written and read by transformers."""
    TrainerState(stateful_callbacks=[steering_callback(mix), TrainerControl()]).save_to_json(tmp_path / "state.json")
    assert json.loads((tmp_path / "state.json").read_text())["stateful_callbacks"]["VisitCostSteering"]
    return TrainerState.load_from_json(tmp_path / "state.json")


def test_a_resumed_run_goes_on_with_the_saved_weight(tmp_path) -> None:
    first = steered(weight=0.02)
    first.cost_weight.value = 0.041
    state = saved_state(tmp_path, first)
    second = steered(weight=0.02)
    steering_callback(second).on_train_begin(None, state, TrainerControl())
    assert second.cost_weight.value == 0.041


def test_a_trainer_that_makes_its_callbacks_anew_steers_the_same_mix(tmp_path) -> None:
    first = steered(weight=0.02)
    first.cost_weight.value = 0.041
    second = steered(weight=0.02)
    handler = CallbackHandler([steering_callback(second)], None, None, None, None)
    trainer = SimpleNamespace(
        args=SimpleNamespace(restore_callback_states_from_checkpoint=True),
        callback_handler=handler,
        control=TrainerControl(),
        state=saved_state(tmp_path, first),
    )
    Trainer._load_callback_state(trainer)
    (callback,) = [each for each in handler.callbacks if type(each).__name__ == "VisitCostSteering"]
    assert second.cost_weight.value == 0.041
    log(callback, 3.5)
    assert second.cost_weight.value == pytest.approx(0.046)
