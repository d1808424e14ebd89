"""Ends that are not the end: a run stopped anywhere goes on, and what it left is whole or known not to be."""

import errno
import os
import shutil
import signal

import pytest
import torch
from short_runs import SHORT, losses, record, same, sft, weights
from transformers import TrainerCallback

from navigation import InputError, write_json
from runtime.lock import RunLock
from trainer import durable_checkpoints
from trainer.checkpoint import INCOMPLETE, latest_checkpoint
from trainer.durable_checkpoints import newest_checkpoint, refuse_another_run
from trainer.recorder import read_metrics
from trainer.run import ended
from trainer.sft_trainer import NavigationSFTTrainer
from trainer.stopping import PREEMPTED, Preempted, TrainingFailed


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

    real = NavigationSFTTrainer.__init__

    def with_callback(self, *args, callbacks, **kwargs):
        real(self, *args, callbacks=[Acting(), *callbacks], **kwargs)

    monkeypatch.setattr(NavigationSFTTrainer, "__init__", with_callback)


def test_sigterm_saves_and_the_next_run_ends_as_if_nothing_had_been(traces, base, tmp_path, whole, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Preempted) as stopped:
            sft(traces, base, tmp_path)
    assert signal.getsignal(signal.SIGTERM) == before
    assert (stopped.value.step, stopped.value.checkpoint) == (3, str(tmp_path / "checkpoint-3"))
    assert latest_checkpoint(tmp_path).name == "checkpoint-3"
    assert not (tmp_path / "model.safetensors").exists()
    sft(traces, base, tmp_path)
    assert same(weights(tmp_path), weights(whole))
    assert losses(tmp_path) == losses(whole)


@pytest.mark.parametrize("changed", [{"max_steps": 4}, {"max_steps": 4, "learning_rate": 2e-3}])
def test_a_run_that_goes_on_learns_by_its_own_schedule(traces, base, tmp_path, changed):
    sft(traces, base, tmp_path, max_steps=2)
    sft(traces, base, tmp_path, **changed)
    rates = {row["step"]: row["learning_rate"] for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row}
    height = changed.get("learning_rate", SHORT["learning_rate"])
    assert rates[3] == pytest.approx(height * 2 / 4)  # linear: half is left of it before the third of four steps
    assert rates[4] == pytest.approx(height * 1 / 4)


def test_the_third_step_of_a_run_that_goes_on_moves_the_weights(traces, base, tmp_path):
    sft(traces, base, tmp_path, max_steps=2)
    before = weights(tmp_path)
    sft(traces, base, tmp_path, max_steps=3)
    assert not same(before, weights(tmp_path))


def test_a_signal_after_the_last_step_changes_nothing(traces, base, tmp_path, monkeypatch):
    class Late(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == state.max_steps:
                os.kill(os.getpid(), signal.SIGTERM)

    real = NavigationSFTTrainer.__init__

    def with_callback(self, *args, callbacks, **kwargs):
        real(self, *args, callbacks=[Late(), *callbacks], **kwargs)

    monkeypatch.setattr(NavigationSFTTrainer, "__init__", with_callback)
    sft(traces, base, tmp_path, max_steps=2)
    assert (tmp_path / "model.safetensors").is_file()


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
        real = NavigationSFTTrainer._save_rng_state
        patch.setattr(
            NavigationSFTTrainer, "_save_rng_state",
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
    real = durable_checkpoints.flush

    def look(folder):
        seen.append(sorted(path.name for path in folder.parent.glob("checkpoint-*")))
        real(folder)

    monkeypatch.setattr(durable_checkpoints, "flush", look)
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
def test_a_loss_that_is_nan_ends_the_run(traces, base, tmp_path, monkeypatch, field, what):
    spoiled = []
    real = NavigationSFTTrainer.training_step

    def spoil(self, model, *args, **kwargs):
        if self.state.global_step == 3 and field == "weights":
            with torch.no_grad():
                next(model.parameters())[:] = float("nan")
        loss = real(self, model, *args, **kwargs)
        if self.state.global_step == 3:
            next(parameter for parameter in model.parameters()).grad[0] = float("inf")
            spoiled.append(True)
        return loss

    monkeypatch.setattr(NavigationSFTTrainer, "training_step", spoil)
    with pytest.raises(TrainingFailed, match=rf"{what} of step 4 is (nan|inf).*checkpoint-2.*lower learning_rate"):
        sft(traces, base, tmp_path)
    assert bool(spoiled) == (field == "gradients")
    good = weights(latest_checkpoint(tmp_path))
    assert all(torch.isfinite(weight).all() for weight in good.values())


def test_too_little_memory_says_what_to_change(traces, base, tmp_path, monkeypatch):
    def out_of_memory(self, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(NavigationSFTTrainer, "compute_loss", out_of_memory)
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
    with pytest.raises(InputError) as error:
        sft(traces, other, tmp_path / "out")
    assert error.value.field == "chat template"


def test_step_one_holds_the_longest_samples(traces, base, tmp_path, monkeypatch):
    widths = []
    real = NavigationSFTTrainer.training_step

    def look(self, model, inputs, *args, **kwargs):
        widths.append(inputs["input_ids"].shape[1])
        return real(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(NavigationSFTTrainer, "training_step", look)
    sft(traces, base, tmp_path, per_device_train_batch_size=1, gradient_accumulation_steps=2)
    assert widths[:4] == sorted(widths, reverse=True)[:4]


def test_a_full_disk_anywhere_ends_with_a_word(traces, base, tmp_path, whole, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "metrics.jsonl"))

    with monkeypatch.context() as patch:
        patch.setattr("trainer.recorder.open", full, raising=False)
        with pytest.raises(TrainingFailed, match=r"metrics.jsonl could not be saved .*No space left"):
            sft(traces, base, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("trainer.run.write_record", full)
        with pytest.raises(TrainingFailed, match=r"No space left.*last good checkpoint is .*checkpoint-4"):
            sft(traces, base, tmp_path)
    assert not (tmp_path / ".final").exists()
    (tmp_path / ".final").mkdir()
    (tmp_path / ".final" / "left over").touch()
    sft(traces, base, tmp_path)
    assert same(weights(tmp_path), weights(whole))
    assert not (tmp_path / "left over").exists()


def test_a_run_that_was_cut_off_after_its_last_step_makes_no_other(traces, base, tmp_path, whole):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / "model.safetensors").unlink()
    sft(traces, base, out)
    assert same(weights(out), weights(whole))
    assert losses(out) == losses(whole)
    assert record(out)["step"] == 4


def test_a_save_without_weights_is_no_end(traces, base, tmp_path, monkeypatch):
    real = NavigationSFTTrainer.save_model

    def shards_alone(self, output_dir=None, _internal_call=False):
        return real(self, output_dir, _internal_call) if _internal_call else os.makedirs(output_dir)

    monkeypatch.setattr(NavigationSFTTrainer, "save_model", shards_alone)
    with pytest.raises(TrainingFailed, match=r"no \*\.safetensors"):
        sft(traces, base, tmp_path, max_steps=2)


def test_a_refused_or_dry_run_leaves_the_recipe_of_the_run_alone(traces, base, tmp_path, whole):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    recipe = (out / "resolved_config.yaml").read_bytes()
    with RunLock(out / ".lock"), pytest.raises(InputError) as error:
        sft(traces, base, out, learning_rate=0.5)
    assert error.value.value == "locked"
    sft(traces, base, out, learning_rate=0.25, dry_run=True)
    assert (out / "resolved_config.yaml").read_bytes() == recipe
    assert "learning_rate: 0.25" in (out / "resolved_config.dry.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "was"),
    [
        ("base", "Qwen/Qwen3-8B"),
        ("stage", "grpo"),
        ("chat_template", "0" * 12),
        ("distributed", "DEEPSPEED ZeRO-3"),
    ],
)
def test_another_run_s_checkpoint_is_refused(whole, tmp_path, name, was):
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    mine = record(whole / "checkpoint-4")
    refuse_another_run(folder, mine)  # a checkpoint without a record says nothing
    write_json(folder / "clipscout.json", mine | {"distributed": "MULTI_CPU", "processes": 2})
    refuse_another_run(folder, mine)
    write_json(folder / "clipscout.json", mine | {name: was})
    with pytest.raises(InputError) as error:
        refuse_another_run(folder, mine)
    assert (error.value.field, error.value.value) == (name, was)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt"])
def test_a_spoiled_checkpoint_is_passed_over_and_named(traces, base, tmp_path, whole, capsys, file):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    spoiled = out / "checkpoint-4" / file
    spoiled.write_bytes(spoiled.read_bytes()[: spoiled.stat().st_size // 2])
    assert latest_checkpoint(out) == out / "checkpoint-2"
    sft(traces, base, out)
    said = capsys.readouterr().out
    assert f"{spoiled} cannot be read" in said
    assert f"resuming from {out / 'checkpoint-2'}" in said
    assert same(weights(out), weights(whole))
    for checkpoint in out.glob("checkpoint-*"):
        (checkpoint / file).write_bytes(b"")
    with pytest.raises(InputError) as error:
        newest_checkpoint(out)
    assert (error.value.source, error.value.field) == (str(spoiled), "checkpoint")
