"""The GPU benchmark's own code, with a tiny model on a CPU."""

import json
import signal
import time

import pytest

from benchmarks import gpu
from benchmarks.gpu import Report


@pytest.mark.slow
def test_every_part_finds_its_figures(tmp_path, capsys):
    gpu.main(["--tiny", "--out", str(tmp_path / "runs" / "gpu.json")])
    results = json.loads((tmp_path / "runs" / "gpu.json").read_text())
    assert not [each for each in results if "error" in each]
    assert {each["part"]: each["how"] for each in results if each["name"] == "end"} == dict.fromkeys(
        ("sft", "parity", "grpo"), "done"
    )
    assert results[0]["name"] in capsys.readouterr().out
    found = {(each["part"], each["name"]): each for each in results}
    assert found["sft", "LoRA 96"]["tokens_a_second"] > 0
    assert found["sft", "full 96"]["estimate_gib"] > found["sft", "full 64"]["estimate_gib"]
    assert found["parity", "float32, shared against trl"]["gradient"] < 1e-5
    assert found["parity", "bf16, shared against trl"]["gradient"] < 0.05
    step = found["grpo", "step"]
    assert (step["episodes"], step["said_tokens"]) == (8, 8 * 5 * 20), "five scripted turns of twenty tokens"
    assert found["grpo", "loss of 8 x (24 + 6), shared"]["gradient"] < 0.05


def test_what_fails_or_takes_too_long_leaves_what_was_found(tmp_path):
    report = Report(tmp_path / "results.json")
    with report.within("first", time.monotonic() + 60):
        report.attempt("first", "divided", lambda: {"result": 1 / 0})
        report.attempt("first", "cut off", lambda: signal.raise_signal(signal.SIGALRM))
    with report.within("second", time.monotonic() + 60):
        raise KeyError("gone")
    divided, first, second = json.loads((tmp_path / "results.json").read_text())
    assert divided["error"] == "ZeroDivisionError: division by zero"
    assert (first["how"], second["how"]) == ("out of time", "KeyError: 'gone'")


def test_without_a_gpu_it_says_so(capsys):
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "--tiny" in capsys.readouterr().err
