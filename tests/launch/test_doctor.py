import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from benchmarks import scaling
from clipscout import doctor, doctor_checks
from clipscout.main import app
from navigation import InputError
from navigation.prompt import chat_template, template_hash
from runtime.fetch import Fetched
from runtime.lock import RunLock
from runtime.testing.scripted_server import Raw, ScriptedServer

ROOT = Path(__file__).parents[2]
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
    options = ["--url", address, "--model", "stub", "--checkpoint", whole, "--config", config]
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
        "--url", address, "--url", "http://127.0.0.1:9/v1", "--model", "Qwen3-VL", "--checkpoint", whole,
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
    assert finding.level == "fix"
    assert "4 x at most 0.00 GB" in finding.found


@pytest.mark.parametrize(
    ("name", "level"), [("runs/none/sft", "fix"), ("./none", "fix"), ("here/none", "fix"), ("org/none", "note")]
)
def test_a_folder_that_is_not_there_is_told_from_a_model_that_is_not_fetched(tmp_path, monkeypatch, name, level):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    planned = tmp_path / "run.yaml"
    planned.write_text(f"output_dir: {tmp_path}/out\nmodel_name_or_path: {name}\n")
    (finding,) = doctor_checks.planned_checkpoints(planned)
    assert finding.level == level
    assert name in finding.found


def test_without_a_limit_every_checkpoint_is_kept(config, monkeypatch):
    config.write_text(config.read_text().replace("save_total_limit: 2\n", ""))
    (finding,) = doctor_checks.planned_checkpoints(config)
    assert finding.level == "note"
    assert "every checkpoint is kept" in finding.found
    assert "save_total_limit" in finding.hint


def launch_file(name):
    return yaml.safe_load((ROOT / "launch" / "accelerate" / f"{name}.yaml").read_text())


def test_a_checkpoint_costs_what_a_saved_one_weighs(whole, tmp_path):
    """The estimate against a model and optimizer that are written for real."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    model = Qwen3ForCausalLM(Qwen3Config(**{k: v for k, v in MODEL.items() if k != "architectures"})).bfloat16()
    model.save_pretrained(tmp_path / "saved")
    written = (tmp_path / "saved" / "model.safetensors").stat().st_size
    parameters = sum(each.numel() for each in model.parameters())
    assert written == pytest.approx(2 * parameters, rel=0.05)
    adam = {"optim": "adamw_torch"}
    estimate = doctor_checks.checkpoint_bytes(str(whole), adam, launch_file("node_zero3"))
    # Master copy and two states of Adam, each in fp32, as DeepSpeed writes them.
    assert estimate == pytest.approx(written + 3 * 4 * parameters, rel=0.05)
    optimizer = torch.optim.AdamW(model.parameters())
    for each in model.parameters():
        each.grad = torch.zeros_like(each)
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    alone = doctor_checks.checkpoint_bytes(str(whole), adam, launch_file("gpu"))
    assert alone == pytest.approx(written + (tmp_path / "optimizer.pt").stat().st_size, rel=0.1)
    # fp32 shards, the same gathered, two states of Adam in fp32.
    sharded = doctor_checks.checkpoint_bytes(str(whole), adam, launch_file("node_fsdp2"))
    assert sharded == pytest.approx(16 * parameters, rel=0.05)
    lora = doctor_checks.checkpoint_bytes(str(whole), {"use_peft": True, "lora_r": 4}, launch_file("node_zero3"))
    assert lora < 0.5 * estimate


def test_a_launch_file_says_who_writes_the_checkpoints(config):
    (most,) = doctor_checks.planned_checkpoints(config)
    (found,) = doctor_checks.planned_checkpoints(config, ROOT / "launch" / "accelerate" / "gpu.yaml")
    assert "at most" in most.found
    assert "at most" not in found.found


def test_memory_and_time_of_the_presets_are_told():
    full, adapter = doctor_checks.sft_memory()
    assert (full.what, adapter.what) == ("SFT by qwen3_8b_full_zero3", "SFT by qwen3_8b_lora_1gpu")
    for finding in (full, adapter):
        assert "24,576 tokens" in finding.found
        assert re.search(
            r"\d GiB a device .* 33,000 trajectories, 3 epochs: [\d.]+ hours on \d+ x \w+ at 40%", finding.found
        )
    assert scaling.figure("trajectories") == doctor_checks.TRAJECTORIES
    assert scaling.figure("trajectory_tokens") == doctor_checks.TRAJECTORY_TOKENS
    hours = float(re.search(r"([\d.]+) hours on 8", full.found)[1])
    assert hours == pytest.approx(scaling.sft_hours(8)[0], rel=0.02)


@pytest.mark.parametrize("date", ["yesterday", "", "Thu, 99 Nov 2026 99:99:99 GMT", "0"])
def test_a_date_that_is_none_is_noted(monkeypatch, date):
    answer = Fetched("http://127.0.0.1:9/v1/models", 200, {"Date": date}, b'{"data": [{"id": "m"}]}')
    monkeypatch.setattr("runtime.fetch.fetch", lambda *arguments, **options: answer)
    found = list(doctor_checks.endpoint("http://127.0.0.1:9/v1", ["m"]))
    assert found[0].level == "ok"
    assert all(each.level == "note" for each in found[1:])


@pytest.mark.parametrize("mark", ['{"host": "x", "time": "noon"}', '{"host": "x", "time": null}', "[1]", '{"host": "x'])
def test_a_mark_that_is_none_is_of_no_machine(tmp_path, mark):
    list(doctor_checks.shared_folder(tmp_path))
    (tmp_path / doctor_checks.MARK / "x.json").write_text(mark)
    found = list(doctor_checks.shared_folder(tmp_path))
    assert found[0].found == f"written, locked and renamed in from {doctor_checks.socket.gethostname()}"


def test_a_clock_that_is_off(tmp_path, monkeypatch):
    real = doctor_checks.time.time
    monkeypatch.setattr(doctor_checks.time, "time", lambda: real() + 30)
    found = {finding.what: finding for finding in doctor_checks.shared_folder(tmp_path)}
    clock = found[f"clock of {tmp_path}"]
    assert clock.level == "fix"
    assert 20 < float(clock.found.split()[0]) <= 30.1


def test_the_folder_tells_which_machines_were_there(tmp_path, monkeypatch):
    for host in ("node1", "node2"):
        monkeypatch.setattr(doctor_checks.socket, "gethostname", lambda host=host: host)
        found = list(doctor_checks.shared_folder(tmp_path))
    assert "node1, node2" in found[0].found


def test_a_folder_without_locks_is_said_to_be_so(tmp_path, monkeypatch):
    with RunLock(tmp_path / doctor_checks.MARK / f"{doctor_checks.socket.gethostname()}.lock"):
        (finding,) = doctor_checks.shared_folder(tmp_path)
    assert finding.level == "fix"


def test_others_may_mark_the_folder_and_not_touch_our_mark(tmp_path):
    list(doctor_checks.shared_folder(tmp_path))
    assert (tmp_path / doctor_checks.MARK).stat().st_mode & 0o7777 == 0o1777


def test_a_link_in_the_place_of_a_lock_empties_nothing(tmp_path):
    list(doctor_checks.shared_folder(tmp_path))
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    lock = tmp_path / doctor_checks.MARK / f"{doctor_checks.socket.gethostname()}.lock"
    lock.unlink()
    lock.symlink_to(theirs)
    (finding,) = doctor_checks.shared_folder(tmp_path)
    assert theirs.read_text() == "precious"
    assert finding.level == "fix"
    assert "symbolic link" in finding.found
    with pytest.raises(InputError) as error:
        RunLock(lock).__enter__()
    assert (error.value.field, error.value.value) == ("run", "a symbolic link")


def test_a_link_in_the_place_of_the_folder_of_marks_opens_nothing(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    (tmp_path / doctor_checks.MARK).symlink_to(theirs)
    (finding,) = doctor_checks.shared_folder(tmp_path)
    assert theirs.stat().st_mode & 0o7777 == 0o700
    assert finding.level == "fix"


def test_what_a_server_says_steers_neither_table_nor_terminal(capsys):
    finding = doctor.Finding("fix", "x", "serves \x1b[2J[red]all", "\x07")
    assert doctor.show([finding]) == 1
    said = capsys.readouterr().out
    assert "\x1b[2J" not in said
    assert "\x07" not in said
    assert "[red]all" in said


KEY = "sk-not-for-your-eyes-0123456789"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/v1", f"http://me:{KEY}@127.0.0.1:9/v1", f"http://{KEY}@127.0.0.1:9/v1",
        f"http://127.0.0.1:9/v1?key={KEY}", f"http://127.0.0.1:9/v1?{KEY}", f"http://me:{KEY}@[::1/v1", f"{KEY}",
        f"http://127.0.0.1:9/v1#{KEY}", f"ftp://me:{KEY}@host/v1",
    ],
)  # fmt: skip
def test_a_key_is_never_shown(monkeypatch, address):
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("OPENAI_API_KEY", "another-not-for-your-eyes")
    result = CliRunner().invoke(app, ["doctor", "--url", address])
    assert result.exit_code == 1
    assert "not-for-your-eyes" not in result.output
    assert "not-for-your-eyes" not in repr(result.exception)


ODD = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"nonsense", b"", b"HTTP/1.1 999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/steal\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000, b"HTTP/1.1 200 OK\r\n\r\n<html>", b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe",
    b'HTTP/1.1 200 OK\r\n\r\n{"data": 3}', b'HTTP/1.1 200 OK\r\n\r\n{"data": [null]}', b"HTTP/1.1 200 OK\r\n\r\n[]",
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 401 No\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nDate: ECHO\r\n\r\n{"data": [{"id": "ECHO"}]}', b"HTTP/1.1 200 ECHO\r\n\r\nECHO",
    b"HTTP/1.1 500 ECHO\r\n\r\nECHO", b"HTTP/1.1 ECHO\r\n\r\n", b"ECHO",
]  # fmt: skip


@pytest.mark.parametrize("answer", ODD, ids=range(len(ODD)))
def test_odd_servers_end_in_a_finding_and_hear_no_echo_of_the_key(monkeypatch, answer, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "400")

    async def odd(request):
        return Raw(None, answer.replace(b"ECHO", KEY.encode()))

    with ScriptedServer(odd) as server:
        found = list(doctor_checks.endpoint(f"{server.url}/v1", ["m"]))
    assert found[0].level == "fix"
    doctor.show(found)
    assert KEY not in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [b"", b"[1]", b"\xff\xfe", b"output_dir: 3\nmodel_name_or_path: 4\n", b"a: [", b"{" * 5000, b"output_dir: x\n"],
)
def test_broken_configs_and_folders_end_in_a_finding(tmp_path, text, capsys):
    path, folder = tmp_path / "run.yaml", tmp_path / "checkpoint"
    path.write_bytes(text)
    folder.mkdir()
    for name in ("clipscout.json", "tokenizer_config.json", "chat_template.jinja", "config.json", "a.safetensors"):
        (folder / name).write_bytes(text)
    (tmp_path / "whole.yaml").write_text(
        f"output_dir: {tmp_path}\nmodel_name_or_path: {folder}\nsave_total_limit: many\n"
    )
    checks = [
        (doctor_checks.planned_checkpoints, path), (doctor_checks.planned_checkpoints, path, path),
        (doctor_checks.planned_checkpoints, tmp_path / "whole.yaml"), (doctor_checks.checkpoint, folder),
        (doctor_checks.checkpoint, path), (doctor_checks.planned_checkpoints, tmp_path),
        (doctor_checks.shared_folder, path),
    ]  # fmt: skip
    for check, *arguments in checks:
        found = list(doctor.guarded("it", check, *arguments))
        assert found
        assert doctor.show(found) in (0, 1)


def test_packages_without_versions_end_in_a_finding(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: None)
    (found,) = doctor.guarded("packages", doctor.packages)
    assert (found.level, found.what) == ("fix", "packages")


def test_the_command_needs_no_torch_for_its_help():
    code = "import sys; import clipscout.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
