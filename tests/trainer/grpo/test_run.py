"""Whole runs: what is recorded, what stops them, and that a run which was ended anywhere goes on as if it had not."""

import json
import os
import shutil
import signal

import pytest
from safetensors.torch import load_file
from transformers import TrainerCallback

from navigation import Trajectory
from trainer.alarms import METRICS, Alarms
from trainer.best_policy import HeldOutScore, best
from trainer.recorder import MetricsLog, RolloutRecorder, read_metrics, read_rollouts
from trainer.run import train
from trainer.stopping import Preempted, StopOnSignal, TrainingFailed

STEERED = {"visit_cost": {"weight": 0.05, "budget": 1.0, "target": 1.0, "learning_rate": 0.01}}
STEPS = 3
RUN = {
    "reward": STEERED, "max_steps": STEPS, "save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps",
    "eval_steps": 2, "eval_on_start": True, "lr_scheduler_type": "linear",
}  # fmt: skip


def run(make_trainer, folder, callbacks=(), **options):
    recorder = RolloutRecorder(folder, "all")
    trainer = make_trainer(output_dir=folder, trainer={"recorder": recorder}, **(RUN | options))
    for callback in (MetricsLog(folder), StopOnSignal(), *callbacks):
        trainer.add_callback(callback)
    train(trainer, None)
    return trainer


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def essence(folder):
    """Metrics by step without what a clock measured, and rollouts without how long they took."""
    kept = [
        {
            key: value
            for key, value in row.items()
            if not key.startswith("time") and "time" not in key and "per_second" not in key
        }
        for row in read_metrics(folder / "metrics.jsonl")
    ]
    return kept, read_rollouts(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def uninterrupted(whole, make_trainer):
    if not whole.exists():
        run(make_trainer, whole)
    return whole


def test_a_run_leaves_metrics_rollouts_and_its_best_policy(uninterrupted):
    rows = read_metrics(uninterrupted / "metrics.jsonl")
    steps = [row for row in rows if "reward" in row]
    assert [row["step"] for row in steps] == [1, 2, 3]
    for name in (
        "rewards/answer/mean", "rewards/grounding/mean", "rewards/visit_cost/mean", "rewards/format/mean",
        "status/answered", "status/out_of_turns", "status/out_of_tokens", "status/unparsable", "status/failed",
        "visits", "repeats", "video_qa_share", "equal_groups", "entropy", "masked", "accuracy", "time/rollout",
        "time/tools", "time/reward", "visit_cost_weight",
    ):  # fmt: skip
        assert name in steps[0], name
    evaluated = [row for row in rows if "eval_accuracy" in row]
    assert [row["step"] for row in evaluated] == [0, 2, 3]
    scores = []
    for row in evaluated:
        scores.append(HeldOutScore(row["step"], row["eval_accuracy"], row["eval_visits"], 8))
        assert row["eval_best_step"] == best(scores).step
        expected = (row["eval_accuracy"] - 0.25) / max(row["eval_visits"], 1)
        assert row["eval_accuracy_per_visit"] == pytest.approx(expected, abs=1e-6)
    chosen = best(scores)
    record = json.loads((uninterrupted / "clipscout.json").read_text())
    assert (record["step"], record["steps"]) == (chosen.step, STEPS)
    assert record["held_out"]["accuracy"] == chosen.accuracy
    assert [path.name for path in (uninterrupted / "held_out_best").iterdir()] == [f"step-{chosen.step:06d}"]


def test_every_rollout_is_there_once_and_reads_as_a_trajectory(uninterrupted):
    records = read_rollouts(uninterrupted)
    assert len(records) == STEPS * 8
    assert len({record["id"] for record in records}) == len(records)
    metrics = {row["step"]: row for row in read_metrics(uninterrupted / "metrics.jsonl") if "reward" in row}
    for step in range(1, STEPS + 1):
        mine = [record for record in records if record["step"] == step]
        groups = {record["group"] for record in mine}
        assert len(mine) == 8
        assert len(groups) == 2
        for group in groups:
            members = [record for record in mine if record["group"] == group]
            assert len({record["question_id"] for record in members}) == 1
            assert sum(record["advantage"] for record in members) == pytest.approx(0, abs=1e-5)
            totals = [record["reward"]["total"] for record in members]
            for record in members:
                assert record["advantage"] == pytest.approx(record["reward"]["total"] - sum(totals) / 4, abs=1e-5)
        visits = sum(len(Trajectory.from_dict(record).visits) for record in mine) / 8
        assert visits == pytest.approx(metrics[step]["visits"])
        assert sum(record["correct"] for record in mine) / 8 == pytest.approx(metrics[step]["accuracy"])


@pytest.mark.parametrize("step", range(1, STEPS))
def test_a_run_killed_after_any_step_goes_on_to_the_same_weights(uninterrupted, make_trainer, tmp_path, step):
    folder = tmp_path / "resumed"
    shutil.copytree(uninterrupted, folder)
    # As a kill in the middle of the next step leaves it: its records may be there, its checkpoint is not.
    for later in range(step + 1, STEPS + 1):
        shutil.rmtree(folder / f"checkpoint-{later}")
    (folder / "model.safetensors").unlink()
    trainer = run(make_trainer, folder)
    assert trainer.state.global_step == STEPS
    assert same(weights(folder), weights(uninterrupted))
    last = f"checkpoint-{STEPS}"
    assert same(weights(folder / last), weights(uninterrupted / last))
    mine, theirs = essence(folder), essence(uninterrupted)
    assert mine[0][:-1] == theirs[0][:-1]
    assert mine[1] == theirs[1]


def test_a_signal_saves_the_step_and_the_run_goes_on_from_it(uninterrupted, make_trainer, tmp_path):
    class Signal(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    folder = tmp_path / "stopped"
    with pytest.raises(Preempted):
        run(make_trainer, folder, [Signal()], save_strategy="no", eval_strategy="no", eval_on_start=False)
    assert (folder / "checkpoint-2" / "trainer_state.json").is_file()
    assert not (folder / "checkpoint-3").exists()


def test_extremes_are_the_best_and_worst_of_a_group(tmp_path):
    recorder = RolloutRecorder(tmp_path)
    advantages = [0.5, -0.25, -0.5, 0.25, 0.0, 0.0, 0.0, 0.0]
    records = [{"group": f"1.{n // 4}", "advantage": value, "n": n} for n, value in enumerate(advantages)]
    recorder.write(1, records)
    assert [record["n"] for record in read_rollouts(tmp_path)] == [0, 2, 4]


def test_generations_of_one_step_share_its_file(tmp_path):
    recorder = RolloutRecorder(tmp_path, "all")
    for number in range(2):
        recorder.write(1, [{"group": str(number), "advantage": 0.0}])
    recorder.write(2, [{"group": "2", "advantage": 0.0}])
    assert [record["group"] for record in read_rollouts(tmp_path)] == ["0", "1", "2"]
    RolloutRecorder(tmp_path, "none").write(3, records := [{"group": "3", "advantage": 0.0}])
    assert len(read_rollouts(tmp_path)) == 3
    assert records


def test_a_collapse_ends_the_run_and_keeps_its_checkpoints(make_trainer, tmp_path):
    folder = tmp_path / "run"
    alarms = Alarms({"window": 2, "calls": {"least": 100.0}}, folder)
    with pytest.raises(TrainingFailed, match=r"alarm at step 2: calls .* the least allowed is 100.*step-000"):
        run(make_trainer, folder, [alarms], max_steps=4, eval_steps=1)
    assert json.loads((folder / "alarm.json").read_text())["watch"] == "calls"
    assert (folder / "checkpoint-1" / "model.safetensors").is_file()
    assert not (folder / "model.safetensors").exists()


class State:
    is_world_process_zero, global_step, best_model_checkpoint = True, 7, None

    def __init__(self, callbacks=None):
        self.stateful_callbacks = callbacks or {}


def test_whatever_an_alarm_can_watch_is_logged(make_trainer, tmp_path):
    watched = METRICS.keys() - {"kl"}  # which needs a reference model
    alarms = Alarms({"window": 100, **{name: {"least": 0.0} for name in watched}}, tmp_path)
    run(make_trainer, tmp_path / "run", [alarms], max_steps=1)
    assert all(len(values) == 1 for values in alarms.seen.values())
    assert alarms.seen.keys() == watched


def test_alarms_watch_means_and_remember_across_a_resume(tmp_path):
    alarms = Alarms({"window": 2, "reward": {"drop": 0.5}, "entropy": {"most": 2.0}}, tmp_path)
    for reward in (1.0, 1.2, 0.9, 0.8):
        alarms.on_log(None, State(), None, {"reward": reward, "entropy": 1.0})
    alarms.on_log(None, State(), None, {"eval_reward": -5.0})
    again = Alarms({"window": 2, "reward": {"drop": 0.5}, "entropy": {"most": 2.0}}, tmp_path)
    again.on_train_begin(None, State({"Alarms": json.loads(json.dumps(alarms.state()))}), None)
    assert again.highest["reward"] == pytest.approx(1.1)
    with pytest.raises(TrainingFailed, match=r"it was 1\.1, and may drop by 0.5"):
        again.on_log(None, State(), None, {"reward": 0.3, "entropy": 1.0})
    with pytest.raises(TrainingFailed, match="the most allowed is 2"):
        again.on_log(None, State(), None, {"entropy": 3.5})
