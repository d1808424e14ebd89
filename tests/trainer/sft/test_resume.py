"""Ends that are not the end: a run stopped anywhere goes on, and what it left is whole or known not to be."""

import os
import shutil
import signal

import pytest
import torch
from short_runs import losses, record, same, sft, weights
from transformers import TrainerCallback

from trainer import durable_checkpoints
from trainer.checkpoint import INCOMPLETE, latest_checkpoint
from trainer.ends import PREEMPTED, Preempted, TrainingFailed
from trainer.run import ended
from trainer.sft_trainer import LongestFirst, WalkTrainer


@pytest.fixture(scope="module")
def whole(traces, base, tmp_path_factory):
    """An uninterrupted run."""
    return sft(traces, base, tmp_path_factory.mktemp("whole"))


def at_step(monkeypatch, step, act):
    """Calls `act` at the end of a step, before anything of it is saved."""

    class Acting(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == step:
                act()

    real = WalkTrainer.__init__

    def with_callback(self, *args, callbacks, **kwargs):
        real(self, *args, callbacks=[Acting(), *callbacks], **kwargs)

    monkeypatch.setattr(WalkTrainer, "__init__", with_callback)


def test_sigterm_saves_and_the_next_run_ends_as_if_nothing_had_been(traces, base, tmp_path, whole, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Preempted, match="run the same command again") as stopped:
            sft(traces, base, tmp_path)
    assert signal.getsignal(signal.SIGTERM) == before
    assert stopped.value.step == 3
    assert latest_checkpoint(tmp_path).name == "checkpoint-3"
    assert not (tmp_path / "model.safetensors").exists()
    sft(traces, base, tmp_path)
    assert same(weights(tmp_path), weights(whole))
    assert losses(tmp_path) == losses(whole)


def test_a_stopped_run_has_an_exit_code_of_its_own(capsys):
    def stopped():
        raise Preempted(3, "runs/x/checkpoint-3")

    with pytest.raises(SystemExit) as end:
        ended(stopped)
    assert end.value.code == PREEMPTED == 75
    assert "checkpoint-3" in capsys.readouterr().err


def test_killed_while_a_checkpoint_is_written(traces, base, tmp_path, whole, monkeypatch):
    class Killed(BaseException):
        """Stands for SIGKILL: nothing of the program's own runs any more."""

    def kill(self, folder):
        raise Killed

    with monkeypatch.context() as patch:
        real = WalkTrainer._save_rng_state
        patch.setattr(
            WalkTrainer, "_save_rng_state",
            lambda self, folder: kill(self, folder) if self.state.global_step == 4 else real(self, folder),
        )  # fmt: skip
        with pytest.raises(Killed):
            sft(traces, base, tmp_path)
    assert (tmp_path / "checkpoint-4" / INCOMPLETE).exists()
    assert (tmp_path / "checkpoint-4" / "model.safetensors").exists()
    assert latest_checkpoint(tmp_path).name == "checkpoint-2"
    sft(traces, base, tmp_path)
    assert same(weights(tmp_path), weights(whole))
    assert losses(tmp_path) == losses(whole)
    assert not list(tmp_path.glob(f"*/{INCOMPLETE}"))


def test_an_older_checkpoint_outlives_a_newer_one_until_that_is_whole(traces, base, tmp_path, monkeypatch):
    seen = []
    real = durable_checkpoints._flush

    def look(folder):
        seen.append(sorted(path.name for path in folder.parent.glob("checkpoint-*")))
        real(folder)

    monkeypatch.setattr(durable_checkpoints, "_flush", look)
    sft(traces, base, tmp_path, save_total_limit=1)
    assert seen == [["checkpoint-2"], ["checkpoint-2", "checkpoint-4"]]
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-4"]


def test_a_full_disk_leaves_the_last_good_checkpoint(traces, base, tmp_path, whole, monkeypatch):
    def full(state, path, **options):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: patch.setattr(torch, "save", full))
        with pytest.raises(TrainingFailed, match=r"No space left.*GB are free.*last good checkpoint is .*checkpoint-2"):
            sft(traces, base, tmp_path)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    sft(traces, base, tmp_path)
    assert same(weights(tmp_path), weights(whole))


@pytest.mark.parametrize(("field", "what"), [("weights", "loss"), ("gradients", "gradient norm")])
def test_a_loss_that_is_no_number_ends_the_run(traces, base, tmp_path, monkeypatch, field, what):
    spoiled = []
    real = WalkTrainer.training_step

    def spoil(self, model, *args, **kwargs):
        if self.state.global_step == 3 and field == "weights":
            with torch.no_grad():
                next(model.parameters())[:] = float("nan")
        loss = real(self, model, *args, **kwargs)
        if self.state.global_step == 3:
            next(parameter for parameter in model.parameters()).grad[0] = float("inf")
            spoiled.append(True)
        return loss

    monkeypatch.setattr(WalkTrainer, "training_step", spoil)
    with pytest.raises(TrainingFailed, match=rf"{what} of step 4 is (nan|inf).*checkpoint-2.*lower learning_rate"):
        sft(traces, base, tmp_path)
    assert bool(spoiled) == (field == "gradients")
    good = weights(latest_checkpoint(tmp_path))
    assert all(torch.isfinite(weight).all() for weight in good.values())


def test_too_little_memory_says_what_to_change(traces, base, tmp_path, monkeypatch):
    def out_of_memory(self, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(WalkTrainer, "compute_loss", out_of_memory)
    with pytest.raises(TrainingFailed, match=r"out of memory in step 1.*max_length"):
        sft(traces, base, tmp_path)


def test_the_record_beside_model_and_checkpoints(whole, base, tmp_path, traces):
    for folder, step in ((whole, 4), (whole / "checkpoint-2", 2)):
        found = record(folder)
        assert (found["stage"], found["step"], found["base"]) == ("sft", step, str(base))
        assert found["data"]["template"] == found["chat_template"]
    changed = (whole / "checkpoint-4" / "chat_template.jinja").read_text() + " "
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    (other / "chat_template.jinja").write_text(changed)
    with pytest.raises(ValueError, match="chat template"):
        sft(traces, other, tmp_path / "out")


def test_the_longest_rows_come_first():
    lengths = [5, 9, 1, 7, 3, 8, 2, 6]
    order = list(LongestFirst([2, 5, 0, 1, 3, 7, 4, 6], lengths, step=2))
    assert order == [1, 5, 3, 7, 2, 0, 4, 6]
    assert list(LongestFirst(range(3), [1, 3, 2], step=2)) == [1, 2, 0]


def test_step_one_holds_the_longest_samples(traces, base, tmp_path, monkeypatch):
    widths = []
    real = WalkTrainer.training_step

    def look(self, model, inputs, *args, **kwargs):
        widths.append(inputs["input_ids"].shape[1])
        return real(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(WalkTrainer, "training_step", look)
    sft(traces, base, tmp_path, per_device_train_batch_size=1, gradient_accumulation_steps=2)
    assert widths[:4] == sorted(widths, reverse=True)[:4]
