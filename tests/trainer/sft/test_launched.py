"""Runs started as users start them: several processes that train as one does, and trl's own command on the same set."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from short_runs import flags, losses, record, sft, weights
from transformers import AutoModelForCausalLM

from data_gen.sets import SetSettings, export_sets
from navigation.prompt import chat_template
from trainer.checkpoint import load_tokenizer

ROOT = Path(__file__).parents[3]
LAUNCH = ROOT / "launch" / "accelerate"
BIN = Path(sys.executable).parent
OPTIONS = {"max_steps": 4, "max_length": 1024, "save_steps": 4}


def command(*parts, folder, **variables):
    environment = {
        **os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
        "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), **variables,
    }  # fmt: skip
    done = subprocess.run(
        [str(BIN / parts[0]), *map(str, parts[1:])], env=environment, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-20000:]
    return done.stdout


@pytest.fixture(scope="module")
def alone(traces, base, tmp_path_factory):
    """One process with the batch of two."""
    return sft(traces, base, tmp_path_factory.mktemp("alone"), per_device_train_batch_size=4, **OPTIONS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "distributed"),
    [("cpu_ddp.yaml", "MULTI_CPU"), ("cpu_zero2.yaml", "DEEPSPEED ZeRO-2"), ("cpu_zero3.yaml", "DEEPSPEED ZeRO-3")],
)
def test_two_processes_train_as_one_does(traces, base, alone, tmp_path, file, distributed):
    out = tmp_path / "out"
    options = flags(traces, base, out, per_device_train_batch_size=2, **OPTIONS)
    said = command(
        "accelerate", "launch", "--config_file", LAUNCH / file, "-m", "trainer.sft", *options, folder=tmp_path
    )
    # Launchers fall back to one process, or to plain DDP, without a word and with exit code 0.
    assert (record(out)["processes"], record(out)["distributed"]) == (2, distributed)
    assert f"2 processes, {distributed}" in said
    assert losses(out) == pytest.approx(losses(alone), rel=1e-4)
    found = weights(out)
    # DeepSpeed's state holds the tied output words a second time.
    assert found.pop("lm_head.weight", found["model.embed_tokens.weight"]).equal(found["model.embed_tokens.weight"])
    assert found.keys() == weights(alone).keys()
    for name, weight in weights(alone).items():
        assert (found[name] - weight).abs().max() < 1e-4, name


@pytest.mark.slow
def test_fsdp2_as_the_presets_have_it_leaves_models_and_resumes(traces, base, alone, tmp_path):
    """The launch file's FSDP2 on gloo: accelerate itself starts it on GPUs only."""
    settings = yaml.safe_load((LAUNCH / "node_fsdp2.yaml").read_text())["fsdp_config"]
    variables = {name.upper(): str(value) for name, value in settings.items()}
    variables |= {"ACCELERATE_USE_FSDP": "true", "ACCELERATE_TORCH_DEVICE": "cpu"}
    out = tmp_path / "out"
    more = {**OPTIONS, "save_steps": 2, "use_cpu": False}
    options = flags(traces, base, out, per_device_train_batch_size=2, **more)

    def train():
        parts = ("torchrun", "--standalone", "--nproc_per_node", 2, Path(__file__).parent / "fsdp2_on_cpu.py", *options)
        return command(*parts, folder=tmp_path, **variables)

    def check(folder):
        assert (record(folder)["processes"], record(folder)["distributed"]) == (2, "FSDP")
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
        found, wanted = dict(model.named_parameters()), weights(alone)
        assert found.keys() == wanted.keys()
        assert max((found[name] - weight).abs().max() for name, weight in wanted.items()) < 1e-4
        assert load_tokenizer(str(folder)).chat_template == chat_template()

    assert "2 processes, FSDP" in train()
    assert losses(out) == pytest.approx(losses(alone), rel=1e-4)
    check(out)
    check(out / "checkpoint-4")
    shutil.rmtree(out / "checkpoint-4")
    (out / "model.safetensors").unlink()
    assert f"resuming from {out / 'checkpoint-2'}" in train()
    check(out)


@pytest.mark.slow
def test_trl_s_own_command_has_the_same_losses(traces, base, tmp_path):
    export_sets(traces, tmp_path / "set", SetSettings(0.3))
    ours = sft(tmp_path / "set", base, tmp_path / "ours", longest_first=False, **OPTIONS)
    values = {"held_out_share": None, "data": None, "output_dir": tmp_path / "trl", "max_length": 1024}
    options = dict(zip(*[iter(flags(traces, base, tmp_path / "trl", **OPTIONS))] * 2, strict=True))
    for name, value in values.items():
        options.pop(f"--{name}", None)
        if value is not None:
            options[f"--{name}"] = str(value)
    command(
        "trl", "sft", "--dataset_name", tmp_path / "set", "--dataset_config", "sft", "--assistant_only_loss",
        "--eval_strategy", "no", *[part for pair in options.items() for part in pair], folder=tmp_path,
    )  # fmt: skip
    state = json.loads((tmp_path / "trl" / "checkpoint-4" / "trainer_state.json").read_text())
    theirs = {row["step"]: row["loss"] for row in state["log_history"] if "loss" in row}
    assert len(theirs) == 4
    assert losses(ours) == pytest.approx(theirs, rel=1e-5)
