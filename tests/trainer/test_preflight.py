"""What cannot work is refused before anything is loaded, under a dry run too, by its field and with the fix."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import yaml
from trl import ModelConfig, SFTConfig

from clipscout.training import CPU, training_command
from navigation import EnvironmentFactory, InputError, write_json
from trainer import grpo, preflight, sft
from trainer.arguments import SFTArguments, parse
from trainer.checkpoint import load_model, load_tokenizer
from trainer.data import TracesFolder
from trainer.estimate import device_count, setup_of, sharding
from trainer.grpo_checks import GRPOArguments
from trainer.preflight import check_model, check_precision, check_ranks, check_tracking, least_rate
from trainer.probe import first_replies

RANKS = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def run(traces, base, tmp_path, monkeypatch):
    """A dry run of a stage; what loads models and tokenizers counts as too late."""

    def make(stage=sft, late=True, **options):
        if late:
            monkeypatch.setattr(stage, "load_tokenizer", lambda *arguments, **more: pytest.fail("it was loaded"))
        common = {
            "data": traces, "model_name_or_path": base, "output_dir": tmp_path / "out", "bf16": False, "use_cpu": True,
            "gradient_checkpointing": False, "dry_run": True, "max_length": 1024,
        }  # fmt: skip
        if stage is grpo:
            common |= {
                "max_tool_calling_iterations": 4, "max_completion_length": 256, "num_generations": 2,
                "per_device_train_batch_size": 4,
            }  # fmt: skip
            del common["max_length"]
        merged = {name: value for name, value in (common | options).items() if value is not None}
        stage.main([part for name, value in merged.items() for part in (f"--{name}", str(value))])

    return make


@pytest.mark.parametrize(
    ("stage", "options", "field", "value", "hint"),
    [
        (grpo, {"temperature": 0.0}, "temperature", 0.0, "1.0"),
        (grpo, {"num_generations": 3}, "num_generations", 3, "2, 4"),
        (grpo, {"eval_strategy": "steps", "per_device_eval_batch_size": 3}, "num_generations_eval", 2, "use 1"),
        (grpo, {"auto_find_batch_size": True}, "options", None, "change"),
        (sft, {"bf16": True, "use_cpu": False, "dry_run": None}, "bf16", True, "use_cpu: true"),
        (grpo, {"bf16": True, "use_cpu": False, "dry_run": None}, "bf16", True, "use_cpu: true"),
        (sft, {"data": "nowhere"}, "data", "nowhere", "make traces"),
        (sft, {"trees": "nowhere"}, "trees", "nowhere", "caption trees"),
        (grpo, {"model_name_or_path": "./nowhere"}, "model_name_or_path", "./nowhere", "run the stage"),
        (sft, {"model_name_or_path": "a:b"}, "model_name_or_path", "a:b", "organisation/name"),
        (sft, {"dtype": "bfloat16", "learning_rate": 1e-5}, "dtype", "bfloat16", "float32"),
        (grpo, {"dtype": "bfloat16"}, "dtype", "bfloat16", "use_peft"),
        (sft, {"report_to": "wandb"}, "report_to", "wandb", "WANDB_MODE=offline"),
    ],
)
def test_what_cannot_work_is_refused_before_it_loads(run, tmp_path, monkeypatch, stage, options, field, value, hint):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: False)
    with pytest.raises(InputError) as error:
        run(stage, **options)
    assert error.value.field == field
    assert value is None or error.value.value == value
    assert hint in error.value.hint
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stage", [sft, grpo])
def test_ranks_of_another_launch_are_refused_before_options_are_read(stage, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError) as error:
        stage.main(["--config", "nowhere.yaml"])
    assert (error.value.source, error.value.field, error.value.value) == ("environment", "WORLD_SIZE", 2)
    assert "unset WORLD_SIZE" in error.value.hint


@pytest.mark.parametrize(
    ("environ", "alone", "field"),
    [
        ({"WORLD_SIZE": "2"}, False, "WORLD_SIZE"),
        ({"WORLD_SIZE": "8", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, False, "WORLD_SIZE"),
        ({"LOCAL_RANK": "0"}, False, "LOCAL_RANK"),
        (RANKS | {"RANK": "2"}, False, "RANK"),
        (RANKS | {"WORLD_SIZE": "two"}, False, "WORLD_SIZE"),
        (RANKS, True, "WORLD_SIZE"),
        (RANKS, False, None),
        (RANKS | {"WORLD_SIZE": "1"}, False, None),
        (RANKS | {"WORLD_SIZE": "1"}, True, None),
        ({"WORLD_SIZE": "1", "RANK": "0"}, False, None),
        ({}, True, None),
    ],
)
def test_ranks(environ, alone, field):
    if field is None:
        check_ranks(environ, alone)
        return
    with pytest.raises(InputError) as error:
        check_ranks(environ, alone)
    assert error.value.field == field


def test_a_single_process_is_not_launched_under_ranks_of_another(tmp_path, monkeypatch):
    for name, value in RANKS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "run.yaml").write_text("data: here\n")
    with pytest.raises(InputError) as error:
        training_command("sft", tmp_path / "run.yaml", CPU)
    assert error.value.field == "WORLD_SIZE"
    (tmp_path / "launch.yaml").write_text("distributed_type: MULTI_GPU\nnum_processes: 2\n")
    assert training_command("sft", tmp_path / "run.yaml", tmp_path / "launch.yaml")


@pytest.mark.parametrize(("version", "old"), [("4.0.0", True), ("4.6.9", True), ("4.7.0", False), ("5.2.0", False)])
def test_datasets_that_cannot_read_our_files(monkeypatch, version, old):
    monkeypatch.setattr(preflight.importlib.metadata, "version", lambda name: version)
    if not old:
        preflight.check_surroundings({})
        return
    with pytest.raises(InputError) as error:
        preflight.check_surroundings({})
    assert (error.value.field, error.value.value) == ("datasets", version)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "environ",
    [
        {"WANDB_API_KEY": "0" * 40},
        {"WANDB_MODE": "offline"},
        {"WANDB_MODE": "disabled"},
        {"WANDB_DISABLED": "true"},
    ],
)
def test_wandb_with_a_key_or_offline(home, environ):
    check_tracking(["wandb", "tensorboard"], environ)


def test_wandb_s_own_files_count(home):
    with pytest.raises(InputError) as error:
        check_tracking(["wandb"], {})
    assert (error.value.field, error.value.value) == ("report_to", "wandb")
    (home / ".netrc").write_text("machine api.wandb.ai login user password 0123\n")  # pragma: allowlist secret
    check_tracking(["wandb"], {})
    with pytest.raises(InputError):
        check_tracking(["wandb"], {"WANDB_BASE_URL": "https://wandb.example.org"})
    (home / ".netrc").unlink()
    (home / "wandb").mkdir()
    (home / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    check_tracking(["wandb"], {})


def test_a_tracker_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        check_tracking(["tensorboard"], {})
    assert error.value.hint.startswith("pip install tensorboard")


@pytest.mark.parametrize(("offline", "said"), [(True, "HF_HUB_OFFLINE"), (False, "cannot be reached")])
def test_a_hub_that_gives_nothing(monkeypatch, tmp_path, offline, said):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: offline)
    monkeypatch.setattr(huggingface_hub.hf_api.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.HfApi, "endpoint", "http://127.0.0.1:9", raising=False)
    real = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: real(endpoint="http://127.0.0.1:9"))
    with pytest.raises(InputError) as error:
        check_model("someone/not-here")
    assert (error.value.field, error.value.value) == ("model_name_or_path", "someone/not-here")
    assert said in error.value.hint
    assert "hf download someone/not-here" in error.value.hint


def test_a_model_in_the_cache_needs_no_hub(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file, revision: f"/cache/{file}")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: pytest.fail("it was asked"))
    check_model("someone/here")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer"])
def test_a_folder_without_a_part_of_the_model(base, tmp_path, missing):
    folder = tmp_path / "model"
    shutil.copytree(base, folder)
    check_model(str(folder))
    for path in folder.glob(f"{missing}*"):
        path.unlink()
    with pytest.raises(InputError) as error:
        check_model(str(folder))
    assert error.value.source == str(folder)
    assert error.value.field.replace("*", "model").startswith(missing)


def test_a_run_that_has_not_ended_names_its_checkpoint(tmp_path):
    (tmp_path / "checkpoint-20").mkdir()
    with pytest.raises(InputError) as error:
        check_model(str(tmp_path))
    assert "checkpoint-20" in error.value.hint


@pytest.mark.parametrize("weight", [0.02, 0.2, 0.0417])
def test_steps_below_the_least_rate_change_nothing(weight):
    """AdamW on bfloat16 alone, against the rate that is said to be the least."""
    for rate, moves in ((0.5 * least_rate(weight), False), (2.1 * least_rate(weight), True)):
        weights = torch.nn.Parameter(torch.full([8], weight, dtype=torch.bfloat16))
        before = weights.detach().clone()
        optimizer = torch.optim.AdamW([weights], lr=rate, weight_decay=0.0)
        for _ in range(20):
            weights.grad = torch.ones_like(weights)
            optimizer.step()
        assert torch.equal(weights.detach(), before) != moves


def test_what_keeps_an_fp32_copy_is_let_through(base, tmp_path):
    def config(**options):
        return SimpleNamespace(
            **({"learning_rate": 1e-6, "optim": "adamw_torch", "deepspeed_plugin": None, "fsdp": None} | options)
        )

    def model(dtype="bfloat16", use_peft=False):
        return SimpleNamespace(dtype=dtype, use_peft=use_peft)

    zero = SimpleNamespace(zero_stage=2)
    for training, options in (
        (config(), model("float32")), (config(), model(use_peft=True)), (config(deepspeed_plugin=zero), model()),
        (config(fsdp="full_shard"), model()), (config(learning_rate=1e-2), model()), (config(optim="sgd"), model()),
        (config(), model("auto")),
    ):  # fmt: skip
        check_precision(training, options, str(base))
    half = tmp_path / "half"
    shutil.copytree(base, half)
    values = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps(values | {"dtype": "bfloat16"}))
    for dtype in ("auto", "bfloat16"):
        with pytest.raises(InputError) as error:
            check_precision(config(), model(dtype), str(half))
        assert (error.value.field, error.value.value) == ("dtype", dtype)


def test_trajectories_that_the_model_s_context_does_not_hold(run, make_base, capsys):
    with pytest.raises(InputError) as error:
        run(late=False, model_name_or_path=make_base(max_position_embeddings=128))
    assert (error.value.field, error.value.value) == ("max_length", 1024)
    assert "at most 128" in error.value.hint
    run(late=False, max_length=240)
    assert "trajectories are longer than 240 tokens: set max_length to" in capsys.readouterr().out


@pytest.mark.parametrize("stage", [None, "sft"])
def test_a_base_whose_replies_cannot_be_read_is_said_to_be_so(base, traces, tmp_path, capsys, stage):
    folder = tmp_path / "model"
    shutil.copytree(base, folder)
    if stage is not None:
        write_json(folder / "clipscout.json", {"stage": stage})
    options, data = ModelConfig(model_name_or_path=str(folder)), TracesFolder(traces)
    training = SimpleNamespace(max_completion_length=24, temperature=1.0, seed=0, use_cpu=True, deepspeed_plugin=None)
    shared = {
        "processing_class": load_tokenizer(str(folder)), "train_dataset": data.rl_dataset(held=False),
        "environment_factory": EnvironmentFactory(data.trees),
    }  # fmt: skip
    model = load_model(options)
    before = torch.get_rng_state()
    read = first_replies(GRPOArguments(data=str(traces)), training, options, model, shared)
    assert read == (0 if stage is None else None)
    assert ("Train it by SFT first" in capsys.readouterr().out) == (stage is None)
    assert torch.equal(torch.get_rng_state(), before), "what is trained does not depend on being asked"
    asked = GRPOArguments(data=str(traces), probe_questions=2)
    assert first_replies(asked, training, options, model, shared) == 0
    assert first_replies(GRPOArguments(data="x", probe_questions=0), training, options, model, shared) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for what a machine without a GPU says")
def test_bf16_without_a_gpu_stops_a_run_and_not_a_dry_run(tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"data": "here", "output_dir": str(tmp_path / "out"), "bf16": True}))
    with pytest.raises(InputError) as error:
        parse((SFTArguments, SFTConfig), ["--config", str(path)])
    assert error.value.field == "bf16"
    data, training = parse((SFTArguments, SFTConfig), ["--config", str(path), "--search", "{count: 3}", "--dry_run"])
    assert data.dry_run
    assert data.search == {"count": 3}
    assert training.bf16
    assert "would be refused" in capsys.readouterr().out


def test_a_dry_run_without_gpus_plans_for_its_launch_file(tmp_path, monkeypatch):
    training = SFTConfig(str(tmp_path), bf16=False, use_cpu=True, max_length=64)
    assert (sharding(training), device_count()) == (("torch", 0), 1)
    monkeypatch.setenv("CLIPSCOUT_PLANNED_LAUNCH", "launch/accelerate/node_zero3.yaml")
    assert (sharding(training), device_count()) == (("deepspeed", 3), 8)
    assert setup_of(training, ModelConfig(dtype="bfloat16"), 64).devices == 8
