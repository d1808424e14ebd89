"""The demo over seeds and ways of rounding: what its table says, that nothing is done twice, and a small whole run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import demo_seeds, training_runs
from navigation import InputError

ROOT = Path(__file__).parents[2]


def summary(accuracy, visits):
    return {"accuracy": accuracy, "accuracy_ci": [accuracy - 0.02, accuracy + 0.02], "visits": visits}


@pytest.mark.parametrize(
    ("grpo", "holds"),
    [(summary(0.96, 2.0), True), (summary(0.94, 2.0), True), (summary(0.91, 2.0), False), (summary(0.99, 3.0), False)],
)
def test_a_run_holds_if_visits_fall_and_accuracy_stays_within_the_interval_of_sft(grpo, holds):
    run = {"seed": 1, "way": "avx2", "sft": summary(0.95, 4.0), "grpo": grpo, "step": 20, "steps": 30}
    assert demo_seeds.holds(run) is holds
    row = demo_seeds.rounding_table([run]).splitlines()[-1]
    assert "| 1 | avx2 | 0.950 (0.930–0.970) |" in row
    assert "| 20 of 30 |" in row
    assert row.endswith("| yes |" if holds else "| **no** |")


def test_every_stage_runs_once_in_its_way(tmp_path, monkeypatch):
    called = []

    def run(command, env, **options):
        called.append((command[2:], env))
        out = Path(command[command.index("--out") + 1] if "--out" in command else flag(command, "output_dir"))
        out.mkdir(parents=True, exist_ok=True)
        (out / "questions.jsonl").touch()
        (out / "summary.json").write_text(json.dumps({"policies": {"local": summary(0.9, 2.0)}}))
        (out / "clipscout.json").write_text(json.dumps({"step": 5, "steps": 30}))
        return SimpleNamespace(returncode=0)

    def flag(command, name):
        return command[command.index(f"--{name}") + 1]

    monkeypatch.setattr(training_runs.subprocess, "run", run)
    monkeypatch.chdir(ROOT)
    found = demo_seeds.rounding([0], ["default", "two batches"], tmp_path, None)
    assert found.count("| 5 of 30 |") == 2
    assert (tmp_path / "table.md").read_text() == found
    # One world; two trainings and two evaluations a way.
    assert len(called) == 2 + 2 * 4
    trained = [(command, env) for command, env in called if "--output_dir" in command]
    assert [env.get("ATEN_CPU_CAPABILITY") for _, env in trained] == ["default", "default", None, None]
    assert [flag(command, "gradient_accumulation_steps") for command, _ in trained] == ["1", "1", "2", "2"]
    assert [flag(command, "per_device_train_batch_size") for command, _ in trained] == ["16", "64", "8", "32"]
    assert flag(trained[1][0], "model_name_or_path") == flag(trained[0][0], "output_dir")
    demo_seeds.rounding([0], ["default", "two batches"], tmp_path, None)
    assert len(called) == 10


def test_a_way_that_this_machine_lacks_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        demo_seeds.rounding([0], ["neon"], tmp_path, None)
    assert (error.value.field, error.value.value) == ("--ways", "neon")


@pytest.mark.slow
def test_two_ways_of_one_seed_run_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = demo_seeds.rounding([0], ["default", "two batches"], tmp_path, None, tiny=True)
    assert len(found.splitlines()) == 4
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.done.json")}
    assert len(before) == 2 + 2 * 4
    assert demo_seeds.rounding([0], ["default", "two batches"], tmp_path, None, tiny=True) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.done.json")} == before
