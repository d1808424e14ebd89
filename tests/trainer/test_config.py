"""Configs are parsed strictly, and every shipped one parses."""

import os
from pathlib import Path

import pytest
import yaml
from trl import ModelConfig, SFTConfig

from clipscout.captions import CaptionOptions
from clipscout.evaluate import EvalOptions
from clipscout.options import read_options
from clipscout.teacher import TeacherOptions
from navigation import InputError, read_tools
from rewards import RewardMix
from runtime.config_file import write_resolved
from trainer.alarms import Alarms
from trainer.arguments import SFTArguments, parse, resolved
from trainer.grpo import parse_grpo
from trainer.grpo_checks import check
from trainer.rollout_metrics import EpisodeMasks
from trainer.tiny_base import TinyBaseArguments

CONFIGS = Path(__file__).parents[2] / "configs"
KINDS = {
    "sft": (SFTArguments, SFTConfig, ModelConfig),
    "model": (TinyBaseArguments,),
}


COMMANDS = {"captions": CaptionOptions, "teacher": TeacherOptions, "eval": EvalOptions}


@pytest.fixture(autouse=True)
def no_gpu_needed(monkeypatch):
    # transformers refuses bf16 where no device has it; the files are for machines that do.
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_config_parses(path, tmp_path):
    if path.parent.name in COMMANDS:
        read_options(COMMANDS[path.parent.name], path)
        return
    arguments = ["--config", str(path)]
    if path.parent.name != "model":
        arguments += ["--output_dir", str(tmp_path)]
    stage = path.parent.name
    values = parse_grpo(arguments) if stage == "grpo" else parse(KINDS[stage], arguments)
    if path.parent.name == "grpo":
        check(*values, processes=8)
        RewardMix.from_config(values[0].reward)
        EpisodeMasks.from_config(values[0].episodes)
        Alarms(values[0].alarms, tmp_path)


def test_a_flag_wins_over_the_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"data: here\nlearning_rate: 0.5\nuse_cpu: true\nbf16: false\noutput_dir: {tmp_path}\n")
    for given in (["--config", str(path)], [f"--config={path}"]):
        _, training, _ = parse(KINDS["sft"], [*given, "--learning_rate", "0.25"])
        assert training.learning_rate == 0.25


@pytest.mark.parametrize(
    ("text", "arguments", "field", "value", "hint"),
    [
        ("data: here\nlearning_rte: 1\n", [], "learning_rte", 1, "'learning_rate'"),
        ("data: here\n", ["--learnin_rate", "1"], "flag", "--learnin_rate", "'learning_rate'"),
        ("- data\n", [], "file", ["data"], "mapping"),
        ("data: here\nenv: [A]\n", [], "env", ["A"], "mapping"),
        ("data: here\nheld_out_share: null\n", [], "held_out_share", None, "a number"),
        ("data: here\nmax_steps: [1]\n", [], "max_steps", [1], "a whole number"),
        ("data: {a: b}\n", [], "data", {"a": "b"}, "a text"),
    ],
)
def test_bad_options_name_the_fix(tmp_path, text, arguments, field, value, hint):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        parse(KINDS["sft"], ["--config", str(path), *arguments])
    assert (error.value.field, error.value.value) == (field, value)
    assert hint in error.value.hint


@pytest.mark.parametrize(
    "given", [["--reward", "{TEXT}"], ["--reward={TEXT}"], ["--reward", "none", "--reward", "{TEXT}"]]
)
@pytest.mark.parametrize("text", ['{"visit_cost": {"weight": 0.2}}', "{visit_cost: {weight: 0.2}}"])
def test_a_flag_that_is_a_mapping_takes_the_place_of_the_files(tmp_path, given, text):
    path = CONFIGS / "grpo" / "tiny_cpu.yaml"
    flags = [each.replace("{TEXT}", text) for each in given]
    values = parse_grpo(["--config", str(path), "--output_dir", str(tmp_path), *flags])
    assert values[0].reward == {"visit_cost": {"weight": 0.2}}
    assert values[0].alarms == yaml.safe_load(path.read_text()).get("alarms")


def test_a_flag_that_is_a_mapping_can_be_none(tmp_path):
    path = CONFIGS / "grpo" / "tiny_cpu.yaml"
    assert parse_grpo(["--config", str(path), "--output_dir", str(tmp_path), "--reward", "None"])[0].reward is None


@pytest.mark.parametrize("text", [["0.2"], ["[1]"], ["{visit_cost: "], ["words"], ["--max_steps", "3"], []])
def test_a_flag_that_is_no_mapping_is_named(tmp_path, text):
    path = CONFIGS / "grpo" / "tiny_cpu.yaml"
    with pytest.raises(InputError) as caught:
        parse_grpo(["--config", str(path), "--output_dir", str(tmp_path), "--reward", *text])
    assert (caught.value.source, caught.value.field) == ("command line", "--reward")


@pytest.mark.parametrize("text", ["[get_caption, video_qa, search]", "search, get_caption,video_qa"])
@pytest.mark.parametrize("stage", ["sft", "grpo", "model"])
def test_tools_are_a_list_or_a_text(tmp_path, stage, text):
    path = tmp_path / "run.yaml"
    path.write_text(
        f"data: here\noutput_dir: {tmp_path}\ntools: {text}\n" + ("" if stage == "model" else "bf16: false\n")
    )
    first, *_ = parse_grpo(["--config", str(path)]) if stage == "grpo" else parse(KINDS[stage], ["--config", str(path)])
    assert read_tools(first.tools) == ("get_caption", "video_qa", "search")


@pytest.mark.parametrize("arguments", [["--config"], ["--config", "nowhere.yaml"]])
def test_a_config_that_is_not_there_is_named(arguments):
    with pytest.raises(InputError) as error:
        parse_grpo(arguments)
    assert error.value.field == "--config"


def test_yaml_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("data: [\n")
    for read in (lambda options: parse(KINDS["sft"], options), parse_grpo):
        with pytest.raises(InputError) as error:
            read(["--config", str(path)])
        assert (error.value.source, error.value.field) == (str(path), "file")


def test_a_config_is_read_once_and_sets_its_variables(tmp_path, monkeypatch):
    path = tmp_path / "run.yaml"
    path.write_text(f"data: here\nengine: async\noutput_dir: {tmp_path}\nbf16: false\nenv: {{A_VARIABLE: 3}}\n")
    monkeypatch.setenv("A_VARIABLE", "2")
    read, real = [], yaml.safe_load
    monkeypatch.setattr(yaml, "safe_load", lambda text: read.append(text) or real(text))
    data, training, _ = parse_grpo(["--config", str(path), "--max_steps=7"])
    assert (data.engine, training.max_steps, os.environ["A_VARIABLE"]) == ("async", 7, "3")
    assert len(read) == 1
    assert parse_grpo(["--config", str(path), "--engine", "sync", "--use_cpu"])[0].engine == "sync"


@pytest.mark.parametrize("computes", [True, False])
def test_the_processor_decides_bf16_where_it_is_asked_to(tmp_path, monkeypatch, computes):
    monkeypatch.setattr("trainer.arguments.computes_bf16", lambda: computes)
    path = tmp_path / "run.yaml"
    path.write_text(f"data: here\nuse_cpu: true\nbf16: auto\noutput_dir: {tmp_path}\n")
    assert parse(KINDS["sft"], ["--config", str(path)])[1].bf16 is computes
    assert parse(KINDS["sft"], ["--config", str(path), "--bf16", "false"])[1].bf16 is False
    path.write_text(f"data: here\nuse_cpu: true\nbf16: false\noutput_dir: {tmp_path}\n")
    for flags in (["--bf16", "auto"], ["--bf16=auto"]):
        training = parse(KINDS["sft"], ["--config", str(path), *flags, "--learning_rate", "0.25"])[1]
        assert (training.bf16, training.learning_rate) == (computes, 0.25)


def test_no_secret_reaches_the_resolved_config(tmp_path):
    training = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, hub_token="hf_not_a_real_one")
    path = write_resolved(tmp_path, resolved(training))
    text = path.read_text()
    assert "hf_not_a_real_one" not in text
    assert "learning_rate" in text


def test_no_nested_secret_does(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "value-of-a-variable")
    address = "https://me:pass@host/v1"  # pragma: allowlist secret
    nested = {"token": "hf_x", "revision": "main", "more": [{"api_key": "k", "depth": 2}, address]}
    training = SFTConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, model_init_kwargs=nested, run_name="value-of-a-variable"
    )
    values = yaml.safe_load(write_resolved(tmp_path, resolved(training)).read_text())
    assert values["model_init_kwargs"] == {"revision": "main", "more": [{"depth": 2}]}
    assert "run_name" not in values
    assert values["max_length"] == training.max_length
