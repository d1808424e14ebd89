"""Resuming past the first epoch: the order of a later epoch is the one that it had."""

import json
import shutil

import pytest
from short_runs import losses, same, sft, weights


@pytest.mark.parametrize("longest_first", [True, False])
def test_a_run_resumed_in_its_second_epoch_ends_as_if_nothing_had_been(traces, base, tmp_path, longest_first):
    options = {
        "per_device_train_batch_size": 16, "max_steps": 6, "save_steps": 1, "save_total_limit": 9,
        "longest_first": longest_first,
    }  # fmt: skip
    whole = sft(traces, base, tmp_path / "whole", **options)
    assert json.loads((whole / "checkpoint-3" / "trainer_state.json").read_text())["epoch"] == 1.0
    for step in (3, 4):  # between the epochs, and in the second
        out = tmp_path / str(step)
        shutil.copytree(whole, out, ignore=lambda _, names: [name for name in names if name.startswith("model.")])
        shutil.copytree(whole / f"checkpoint-{step}", out / f"checkpoint-{step}", dirs_exist_ok=True)
        for later in range(step + 1, 7):
            shutil.rmtree(out / f"checkpoint-{later}")
        sft(traces, base, out, **options)
        assert losses(out) == losses(whole)
        assert same(weights(out), weights(whole))
