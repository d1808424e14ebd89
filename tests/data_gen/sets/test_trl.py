import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_gen.sets import SetSettings, export_sets
from data_gen.traces import write_traces
from trainer.tiny_base import TinyBaseArguments, build

MODEL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True, "max_position_embeddings": 2048,
}  # fmt: skip


@pytest.mark.slow
def test_trl_sft_trains_on_the_set_as_it_is(tmp_path):
    write_traces("small_world", None, tmp_path / "traces", limit=40)
    report = export_sets(tmp_path / "traces", tmp_path / "sets", SetSettings(0.2))
    build(
        TinyBaseArguments(
            data=str(tmp_path / "traces"), output_dir=str(tmp_path / "base"), model=MODEL, lookup_heads=False
        )
    )
    command = [
        str(Path(sys.executable).with_name("trl")), "sft", "--model_name_or_path", tmp_path / "base", "--dataset_name",
        tmp_path / "sets", "--dataset_config", "sft", "--assistant_only_loss", "--max_steps", "3", "--use_cpu",
        "--bf16", "False", "--gradient_checkpointing", "False", "--report_to", "none", "--logging_steps", "1",
        "--eval_strategy", "no", "--output_dir", tmp_path / "out",
    ]  # fmt: skip
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(list(map(str, command)), env=environment, check=True, timeout=540)
    (state,) = (tmp_path / "out").glob("checkpoint-3/trainer_state.json")
    history = json.loads(state.read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert len(losses) == 3
    assert report.sft["train"] > 20
    # A random model over a few hundred words: the loss is that of guessing, not zero for want of supervised tokens.
    assert all(2 < loss < 12 for loss in losses)
