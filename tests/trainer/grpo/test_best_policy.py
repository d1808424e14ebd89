"""A run ends with the most frugal policy of those as accurate as the best, whatever happens to it on the way."""

import json
import os
import random
import signal

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from trainer import grpo_trainer
from trainer.best_policy import BestPolicy, HeldOutScore, best, still_possible
from trainer.recorder import MetricsLog, read_metrics
from trainer.run import train
from trainer.stopping import Preempted, StopOnSignal

STEPS = 3
RUN = {"max_steps": STEPS, "save_strategy": "steps", "save_steps": 1, "lr_scheduler_type": "linear"}
PLAYED = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True}
SCORES = {0: (0.5, 4.0), 1: (0.75, 2.0), 2: (0.8, 3.0), 3: (0.2, 0.0)}
"""What is made of the held-out episodes: step 1 is within a standard error of step 2, and has fewer visits."""


def run(make_trainer, folder, callbacks=(), **options):
    trainer = make_trainer(output_dir=folder, **(RUN | PLAYED | options))
    for callback in (MetricsLog(folder), StopOnSignal(), *callbacks):
        trainer.add_callback(callback)
    train(trainer, None)
    return trainer


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


@pytest.fixture
def scored(monkeypatch):
    real = HeldOutScore.of

    def of(step, outcomes):
        assert len(outcomes) == real(step, outcomes).episodes == 8
        return HeldOutScore(step, *SCORES[step], len(outcomes))

    monkeypatch.setattr(grpo_trainer.HeldOutScore, "of", staticmethod(of))


def test_the_best_is_the_most_frugal_of_those_within_a_standard_error():
    scores = [HeldOutScore(step, *score, 100) for step, score in SCORES.items()]
    assert best(scores).step == 2  # 0.75 is below 0.8 - 0.04
    assert best([HeldOutScore(step, *score, 8) for step, score in SCORES.items()]).step == 1
    assert best([HeldOutScore(5, 0.9, 2.0, 100), HeldOutScore(10, 0.9, 2.0, 100)]).step == 10
    # One wrong answer of a hundred tells no two policies apart, though the best made none.
    assert best([HeldOutScore(5, 1.0, 9.0, 100), HeldOutScore(10, 0.99, 1.0, 100)]).step == 10
    assert best([HeldOutScore(5, 1.0, 9.0, 100), HeldOutScore(10, 0.97, 1.0, 100)]).step == 5


def test_what_is_kept_always_holds_the_best_of_all():
    chance = random.Random(0)
    for _ in range(500):
        seen, kept = [], []
        for step in range(chance.randint(1, 12)):
            score = HeldOutScore(step, chance.randint(0, 20) / 20, chance.randint(0, 6) / 2, 20)
            seen.append(score)
            kept = still_possible([*kept, score])
            assert best(kept) == best(seen)


def test_weights_go_only_once_a_checkpoint_no_longer_names_them(tmp_path):
    keeper, names = BestPolicy(tmp_path), lambda: sorted(path.name for path in keeper.folder.iterdir())

    class State:
        is_world_process_zero, stateful_callbacks = True, {}

    for step, accuracy, visits in ((0, 0.5, 3.0), (5, 1.0, 2.0)):
        assert keeper.add(HeldOutScore(step, accuracy, visits, 10))
        keeper.save(step, lambda path, _internal_call: os.makedirs(path), writes=True)
    assert names() == ["step-000000", "step-000005"]
    keeper.on_save(None, State, None)
    assert names() == ["step-000005"]
    assert not keeper.add(HeldOutScore(10, 0.2, 1.0, 10))
    again = BestPolicy(tmp_path)
    State.stateful_callbacks = {"BestPolicy": json.loads(json.dumps(keeper.state()))}
    again.on_train_begin(None, State, None)
    assert (again.scores, again.last) == (keeper.scores, 10)
    assert again.hand_over(tmp_path / "final").step == 5
    again.keep_alone(0)
    with pytest.raises(FileNotFoundError):
        again.hand_over(tmp_path / "final")


def test_the_final_model_is_the_best_one_and_the_record_says_so(scored, make_trainer, tmp_path):
    folder = tmp_path / "run"
    run(make_trainer, folder)
    assert same(weights(folder), weights(folder / "checkpoint-1"))
    record = json.loads((folder / "clipscout.json").read_text())
    assert (record["step"], record["steps"]) == (1, STEPS)
    assert (record["held_out"]["accuracy"], record["held_out"]["visits"]) == SCORES[1]
    chosen = [row["eval_best_step"] for row in read_metrics(folder / "metrics.jsonl") if "eval_best_step" in row]
    assert chosen == [0, 1, 1, 1]
    # Started again when it is done, it chooses the same.
    run(make_trainer, folder)
    assert same(weights(folder), weights(folder / "checkpoint-1"))
    assert json.loads((folder / "clipscout.json").read_text()) == record


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_killed_run_remembers_the_best(scored, make_trainer, tmp_path, step):
    class Kill(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == step:
                raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run(make_trainer, folder, [Kill()])
    run(make_trainer, folder)
    assert json.loads((folder / "clipscout.json").read_text())["step"] == 1
    assert same(weights(folder), weights(folder / "checkpoint-1"))
    rows = [row["step"] for row in read_metrics(folder / "metrics.jsonl") if "eval_best_step" in row]
    assert rows == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_run_stopped_by_a_signal_plays_the_questions_that_it_owes(scored, make_trainer, tmp_path):
    class Signal(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 0:
                os.kill(os.getpid(), signal.SIGTERM)

    folder = tmp_path / "run"
    with pytest.raises(Preempted):
        run(make_trainer, folder, [Signal()])
    run(make_trainer, folder)
    assert json.loads((folder / "clipscout.json").read_text())["step"] == 1
    assert same(weights(folder), weights(folder / "checkpoint-1"))


def test_figures_of_an_evaluation_are_means_over_its_episodes(make_trainer):
    """Two batches, of eight and of four: trl gives both the same weight."""
    trainer = make_trainer()
    trainer.evaluate(trainer.train_dataset.select(range(3)))
    told, played = trainer.state.log_history[-1], trainer._outcomes
    assert len(played) == 12
    assert told["eval_accuracy"] == pytest.approx(sum(each.right for each in played) / 12)
    assert told["eval_visits"] == pytest.approx(sum(each.visits for each in played) / 12)
    for status in {each.status for each in played}:
        share = sum(each.status == status for each in played) / 12
        assert told[f"eval_status/{status}"] == pytest.approx(share)
    assert (trainer.best.chosen.accuracy, trainer.best.chosen.episodes) == (told["eval_accuracy"], 12)
    trainer._outcomes += played[:5]
    assert trainer._played_once() == played[:12]


def test_held_out_questions_leave_training_s_random_numbers_alone_and_have_the_same_ones_each_time(make_trainer):
    trainer = make_trainer()
    before = torch.get_rng_state()
    trainer.evaluate()
    first = list(trainer._outcomes)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    trainer.evaluate()
    assert len(first) == 8
    assert trainer._outcomes == first
