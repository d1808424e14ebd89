import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clipscout import doctor, doctor_checks
from clipscout.main import app
from navigation.lock import RunLock
from navigation.protocol import chat_template, template_hash

MODEL = {
    "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 500,
    "tie_word_embeddings": True,
}  # fmt: skip


def levels(findings):
    return {finding.what: finding.level for finding in findings}


@pytest.fixture
def whole(tmp_path):
    """A checkpoint as training writes one."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text(json.dumps(MODEL))
    (folder / "chat_template.jinja").write_text(chat_template())
    (folder / "clipscout.json").write_text(json.dumps({"chat_template": template_hash(chat_template())}))
    return folder


@pytest.fixture
def config(tmp_path, whole):
    path = tmp_path / "run.yaml"
    path.write_text(f"output_dir: {tmp_path / 'out'}\nmodel_name_or_path: {whole}\nsave_total_limit: 2\n")
    return path


async def run(*arguments):
    return await asyncio.to_thread(CliRunner().invoke, app, ["doctor", *map(str, arguments)])


async def test_a_sound_set_up(stubs, whole, config, tmp_path):
    _, address = await stubs()
    options = ["--endpoint", address, "--model", "stub", "--checkpoint", whole, "--config", config]
    result = await run(*options, "--shared", tmp_path)
    assert result.exit_code == 0, result.output
    found = {
        **levels(doctor_checks.checkpoint(whole)), **levels(doctor_checks.planned_checkpoints(config)),
        **levels(doctor_checks.shared_folder(tmp_path)),
    }  # fmt: skip
    assert set(found.values()) == {"ok"}


async def test_a_broken_set_up_names_each_fault_and_its_mend(stubs, whole, config, tmp_path, monkeypatch):
    _, address = await stubs()
    (whole / "model.safetensors").rename(whole / "pytorch_model.bin")
    (whole / "clipscout.json").write_text('{"chat_template": "0123456789ab"}')
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COLUMNS", "400")
    result = await run(
        "--endpoint", address, "--endpoint", "http://127.0.0.1:9/v1", "--model", "Qwen3-VL", "--checkpoint", whole,
        "--checkpoint", tmp_path / "nowhere", "--shared", tmp_path / "file", "--config", tmp_path / "nowhere.yaml",
    )  # fmt: skip
    assert result.exit_code == 1
    for said in (
        "does not serve Qwen3-VL", "--served-model-name", "start the server", "convert the weights",
        "pickles: pytorch_model.bin", "use the ClipScout that trained it", "no such folder", "give a config of",
        "cannot be written",
    ):  # fmt: skip
        assert said in result.output, said


def test_a_package_that_is_missing_breaks_and_another_version_is_noted(monkeypatch):
    import importlib.metadata

    real = importlib.metadata.version

    def version(name):
        if name == "trl":
            raise importlib.metadata.PackageNotFoundError(name)
        return "4.0.0" if name == "datasets" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = {finding.what: finding for finding in doctor.packages()}
    assert found["trl"].level == "broken"
    assert found["datasets"].level == "note"
    assert "datasets 4.0.0 for 5.2.0" in found["tested set"].found
    assert doctor.show(found.values()) == 2


def test_the_tested_set_is_that_of_the_lock_files():
    pinned = {}
    for name in ("requirements.lock", "requirements-gpu.lock"):
        for line in Path(name).read_text(encoding="utf-8").splitlines():
            if match := re.fullmatch(r"([\w.-]+)==([\w.]+)", line):
                pinned.setdefault(match[1].lower().replace("_", "-"), match[2])
    for package, version in (doctor.TESTED | doctor.OPTIONAL).items():
        assert pinned[package] == version


def test_more_checkpoints_than_the_disk_holds(config, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(doctor_checks.shutil, "disk_usage", lambda path: usage)
    (finding,) = doctor_checks.planned_checkpoints(config)
    assert finding.level == "mend"
    assert "4 x 0.00 GB" in finding.found


@pytest.mark.parametrize(
    ("name", "level"), [("runs/none/sft", "mend"), ("./none", "mend"), ("here/none", "mend"), ("org/none", "note")]
)
def test_a_folder_that_is_not_there_is_told_from_a_model_that_is_not_fetched(tmp_path, monkeypatch, name, level):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    planned = tmp_path / "run.yaml"
    planned.write_text(f"output_dir: {tmp_path}/out\nmodel_name_or_path: {name}\n")
    (finding,) = doctor_checks.planned_checkpoints(planned)
    assert finding.level == level
    assert name in finding.found


def test_a_checkpoint_costs_what_a_saved_one_weighs(whole, tmp_path):
    """The estimate against a model and optimizer that are written for real."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    model = Qwen3ForCausalLM(Qwen3Config(**{k: v for k, v in MODEL.items() if k != "architectures"})).bfloat16()
    model.save_pretrained(tmp_path / "saved")
    written = (tmp_path / "saved" / "model.safetensors").stat().st_size
    parameters = sum(each.numel() for each in model.parameters())
    estimate = doctor_checks.checkpoint_bytes(str(whole), {"optim": "adamw_torch"})
    assert written == pytest.approx(2 * parameters, rel=0.05)
    # Master copy and two states of Adam, each in fp32, as DeepSpeed writes them.
    assert estimate == pytest.approx(written + 3 * 4 * parameters, rel=0.05)
    adapter = doctor_checks.checkpoint_bytes(str(whole), {"use_peft": True, "lora_r": 4})
    assert adapter < 0.5 * estimate
    assert torch.bfloat16.itemsize == 2


def test_a_clock_that_is_off(tmp_path, monkeypatch):
    real = doctor_checks.time.time
    monkeypatch.setattr(doctor_checks.time, "time", lambda: real() + 30)
    found = {finding.what: finding for finding in doctor_checks.shared_folder(tmp_path)}
    clock = found[f"clock of {tmp_path}"]
    assert clock.level == "mend"
    assert 20 < float(clock.found.split()[0]) <= 30.1


def test_the_folder_tells_which_machines_were_there(tmp_path, monkeypatch):
    for host in ("node1", "node2"):
        monkeypatch.setattr(doctor_checks.socket, "gethostname", lambda host=host: host)
        found = list(doctor_checks.shared_folder(tmp_path))
    assert "node1, node2" in found[0].found


def test_a_folder_without_locks_is_said_to_be_so(tmp_path, monkeypatch):
    with RunLock(tmp_path / doctor_checks.MARK / f"{doctor_checks.socket.gethostname()}.lock"):
        (finding,) = doctor_checks.shared_folder(tmp_path)
    assert finding.level == "mend"


def test_what_a_server_says_steers_neither_table_nor_terminal(capsys):
    finding = doctor.Finding("mend", "x", "serves \x1b[2J[red]all", "\x07")
    assert doctor.show([finding]) == 1
    said = capsys.readouterr().out
    assert "\x1b[2J" not in said
    assert "\x07" not in said
    assert "[red]all" in said


def test_a_key_is_sent_but_never_shown(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-your-eyes")
    doctor.show(doctor_checks.endpoint("http://127.0.0.1:9/v1", []))
    assert "not-for-your-eyes" not in capsys.readouterr().out


def test_the_command_needs_no_torch_for_its_help():
    code = "import sys; import clipscout.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
