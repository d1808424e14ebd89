"""The shipped SFT configs: what each of them asks for, past being parsed."""

from pathlib import Path

import pytest
import yaml
from trl import ModelConfig, SFTConfig, get_peft_config, get_quantization_config

from trainer.arguments import SFTArguments, parse
from trainer.estimate import Setup, memory, model_config, setup_of
from trainer.sft import check

CONFIGS = Path(__file__).parents[3] / "configs"
PRESETS = sorted((CONFIGS / "sft").glob("*.yaml"))
QWEN3_8B = model_config(str(CONFIGS / "model/qwen3_8b_random.yaml"))


@pytest.fixture(autouse=True)
def no_gpu_needed(monkeypatch):
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)


def read(path, folder, *more):
    arguments = ["--config", str(path), "--output_dir", str(folder), *more]
    return parse((SFTArguments, SFTConfig, ModelConfig), arguments)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_s_settings_go_together(path, tmp_path):
    data, training, _ = read(path, tmp_path)
    check(data, training)


def test_no_two_presets_train_into_one_folder():
    files = [path for stage in ("sft", "grpo") for path in (CONFIGS / stage).glob("*.yaml")]
    folders = [yaml.safe_load(path.read_text(encoding="utf-8"))["output_dir"] for path in files]
    assert len(set(folders)) == len(folders)


def test_the_published_recipe(tmp_path):
    _, training, model = read(CONFIGS / "sft/qwen3_8b_full_zero3.yaml", tmp_path)
    found = (
        training.learning_rate, training.lr_scheduler_type, training.warmup_steps, training.num_train_epochs,
        training.max_length, training.optim, training.use_liger_kernel, model.use_peft,
    )  # fmt: skip
    assert found == (1e-5, "cosine", 0.1, 3, 24576, "paged_adamw_8bit", True, False)


def test_what_the_presets_need_fits_where_they_say(tmp_path):
    gib = 2**30
    zero3 = read(CONFIGS / "sft/qwen3_8b_full_zero3.yaml", tmp_path)
    setup = setup_of(zero3[1], zero3[2], longest=9000)
    assert setup.tokens == 24576
    as_launched = Setup(setup.tokens, 8, 3, setup.dtype, "deepspeed", setup.optimizer, setup.checkpointing)
    assert memory(QWEN3_8B, as_launched).total < 60 * gib
    lora = read(CONFIGS / "sft/qwen3_8b_lora_1gpu.yaml", tmp_path)
    assert memory(QWEN3_8B, setup_of(lora[1], lora[2], 9000)).total < 40 * gib


def test_the_qlora_flags(tmp_path):
    more = ("--load_in_4bit", "true", "--optim", "paged_adamw_8bit", "--max_length", "16384")
    data, training, model = read(CONFIGS / "sft/qwen3_8b_lora_1gpu.yaml", tmp_path, *more)
    check(data, training)
    assert get_quantization_config(model).load_in_4bit
    assert get_peft_config(model).target_modules == "all-linear"
    assert memory(QWEN3_8B, setup_of(training, model, 9000)).total < 20 * 2**30
