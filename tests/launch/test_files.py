"""Every launch file and config is read by the program that will read it, and every shell script passes shellcheck."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType

ROOT = Path(__file__).parents[2]
ACCELERATE = sorted((ROOT / "launch" / "accelerate").glob("*.yaml"))
SCRIPTS = sorted(
    path
    for folder in ("launch", "tests", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and (path.suffix in (".sh", ".sbatch") or path.name == "run")
)


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.fixture(autouse=True)
def in_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", ACCELERATE, ids=names(ACCELERATE))
def test_accelerate_takes_the_file(path, monkeypatch):
    load_config_from_file(str(path))
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "-m", "trainer.sft"])
    # What the launcher does before it starts anything; on a machine with GPUs it also looks at them.
    validated, defaults, _ = _validate_launch_command(arguments)
    kind = yaml.safe_load(path.read_text())["distributed_type"]
    assert defaults.distributed_type == DistributedType(kind)
    assert validated.use_deepspeed == (kind == "DEEPSPEED")
    assert validated.use_fsdp == (kind == "FSDP")
    assert validated.num_processes == yaml.safe_load(path.read_text())["num_processes"]


@pytest.mark.parametrize("path", ACCELERATE, ids=names(ACCELERATE))
def test_every_deepspeed_and_fsdp_key_is_one_that_the_launcher_reads(path):
    """accelerate takes a misspelt key of these sections without a word and trains without it."""
    values = yaml.safe_load(path.read_text())
    known = vars(launch_command_parser().parse_args(["x"]))
    # Read from the file only, by accelerate.utils.launch.
    known |= {"deepspeed_multinode_launcher": None}
    for section in ("deepspeed_config", "fsdp_config"):
        for key in values.get(section, {}):
            assert key in known or f"deepspeed_{key}" in known, f"{path.name}: {section}.{key}"


@pytest.mark.parametrize("script", SCRIPTS, ids=names(SCRIPTS))
def test_shellcheck(script):
    if shutil.which("shellcheck") is None:
        pytest.skip("apt-get install shellcheck, as tests/install_system_packages.sh does")
    done = subprocess.run(["shellcheck", "-x", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


SBATCH = sorted((ROOT / "launch" / "slurm").glob("*.sbatch"))


@pytest.mark.parametrize("script", SBATCH, ids=names(SBATCH))
def test_batch_scripts_come_back_after_a_stop(script):
    options = [line.split()[1] for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    for wanted in ("--requeue", "--open-mode=append"):
        assert wanted in options
    assert any(option.startswith("--signal=B:USR1@") for option in options)
    assert any("%j" in option or "%A_%a" in option for option in options if option.startswith("--output="))


DEEPSPEED = [path for path in ACCELERATE if yaml.safe_load(path.read_text())["distributed_type"] == "DEEPSPEED"]


@pytest.fixture
def node_command(tmp_path, monkeypatch):
    """What `train_node.sh` would run as the second of two nodes, and under which environment."""
    recorder = tmp_path / "accelerate"
    recorder.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$RECORD/arguments"\nenv >"$RECORD/environment"\n')
    recorder.chmod(0o755)

    def run(launch):
        subprocess.run(
            ["bash", "launch/slurm/train_node.sh", "-m", "trainer.sft", "--config", "x"], check=True,
            env={
                **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RECORD": str(tmp_path), "HEAD": "n1",
                "LAUNCH": str(launch), "PORT": "29500", "PROCESSES": "1", "FOLDER": str(tmp_path),
                "SLURM_PROCID": "1", "SLURM_STEP_NUM_NODES": "2",
            },
        )  # fmt: skip
        arguments = (tmp_path / "arguments").read_text().splitlines()
        return arguments, (tmp_path / "environment").read_text().splitlines()

    return run


@pytest.mark.parametrize("path", DEEPSPEED, ids=names(DEEPSPEED))
@pytest.mark.parametrize("by_slurm", [True, False], ids=["slurm", "by hand"])
def test_no_node_starts_deepspeed_over_ssh_or_writes_its_environment_down(path, by_slurm, node_command):
    """accelerate's own way with several machines writes all of the environment, keys too, to `.deepspeed_env`."""
    if by_slurm:
        arguments, environment = node_command(path)
        assert arguments.pop(0) == "launch"
        assert "DS_ENV_FILE=/dev/null" in environment
    else:
        arguments = ["--config_file", str(path), "--num_machines", "2", "--machine_rank", "1", "-m", "trainer.sft"]
    validated, _, _ = _validate_launch_command(launch_command_parser().parse_args(arguments))
    assert validated.use_deepspeed
    assert validated.num_machines == 2
    assert validated.deepspeed_multinode_launcher == "standard"


def test_an_environment_written_down_by_another_launcher_is_never_committed():
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", ".deepspeed_env"])
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored.returncode == 0


def server(script, *flags, **environment):
    """The command that a server script would run, or its error."""
    done = subprocess.run(
        ["bash", f"launch/{script}", *flags], env={**os.environ, "DRY_RUN": "1", **environment},
        capture_output=True, text=True,
    )  # fmt: skip
    return (shlex.split(done.stdout), "") if done.returncode == 0 else ([], done.stderr)


SERVERS = [
    ("vllm_policy.sh", {"DATA_PARALLEL": "8", "TRAINABLE": "1"}),
    ("vllm_policy.sh", {"LORA_RANK": "32", "TENSOR_PARALLEL": "2", "TRAINABLE": "1"}),
    ("vllm_policy.sh", {"DATA_PARALLEL": "16", "NODES": "2", "NODE_RANK": "1", "HEAD_ADDRESS": "10.0.0.1"}),
    ("vllm_vision.sh", {"TENSOR_PARALLEL": "2", "DATA_PARALLEL": "4"}),
]


@pytest.mark.parametrize(("script", "environment"), SERVERS)
def test_vllm_takes_the_command(script, environment):
    command, error = server(script, "--seed", "1", MODEL="org/model", **environment)
    assert command[:3] == ["vllm", "serve", "org/model"], error
    assert command[-2:] == ["--seed", "1"]
    try:
        from vllm.entrypoints.launchers.cli_args import make_arg_parser
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:
        pytest.skip("vLLM is not installed: its own parser cannot be asked")
    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(command[2:])
    assert parsed.data_parallel_size == int(environment.get("DATA_PARALLEL", "1"))


def test_the_doors_for_weights_are_open_in_training_only():
    command, _ = server("vllm_policy.sh", MODEL="m")
    assert not any("weight-transfer" in word or "lora" in word for word in command)
    command, _ = server("vllm_policy.sh", MODEL="m", TRAINABLE="1")
    assert "--weight-transfer-config" in command
    assert json.loads(command[command.index("--weight-transfer-config") + 1]) == {"backend": "nccl"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "MODEL"),
        ({"MODEL": "m", "LORA_RANK": "8", "DATA_PARALLEL": "2"}, "one replica only"),
        ({"MODEL": "m", "DATA_PARALLEL": "3", "NODES": "2"}, "does not divide"),
    ],
)
def test_a_server_that_could_not_work_is_refused(environment, said):
    command, error = server("vllm_policy.sh", **environment)
    assert not command
    assert said in error


CONFIGS = sorted((ROOT / "configs" / "sft").glob("*.yaml")) + sorted((ROOT / "configs" / "grpo").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=names(CONFIGS))
def test_the_file_that_a_config_names_for_its_launch_exists(path):
    for word in path.read_text().split():
        if word.startswith("launch/"):
            assert (ROOT / word.rstrip(".,:;)")).is_file(), word
        if word.startswith({"sft": "SFT_CONFIG=", "grpo": "RL_CONFIG="}[path.parent.name]):
            assert ROOT / word.partition("=")[2] == path, "a file's head starts that file"


def test_the_table_of_sizes_names_files_that_exist_and_leaves_none_out():
    table = (ROOT / "launch" / "README.md").read_text()
    for path in sorted((ROOT / "launch").rglob("*")):
        if path.is_file() and path.name != "README.md":
            assert path.name in table, f"launch/README.md says nothing of {path.name}"
