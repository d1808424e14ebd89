"""Options of every stage: one name, read strictly, flags over files, a copy beside the run, dry runs."""

import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from clipscout.captions import CaptionOptions
from clipscout.dataset import DatasetOptions, DifficultyOptions
from clipscout.evaluate import EvalOptions
from clipscout.main import app
from clipscout.options import read_options
from clipscout.teacher import TeacherOptions
from clipscout.training import training_command
from data_gen.traces import write_traces
from navigation import InputError

ROOT = Path(__file__).parents[2]
STAGES = {
    "captions": CaptionOptions, "teacher": TeacherOptions, "dataset": DatasetOptions, "difficulty": DifficultyOptions,
    "eval": EvalOptions,
}  # fmt: skip


def command(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def config(folder, **values):
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("values", "field", "hint"),
    [
        ({"modle": "m"}, "modle", "'model'"),
        ({"samples": "four"}, "samples", "whole number"),
        ({"samples": True}, "samples", "whole number"),
        ({"verify_hint": 1}, "verify_hint", "true or false"),
        ({"data": 3}, "data", "path"),
        ({"model": "m"}, "--data", "questions.jsonl"),
    ],
)
def test_a_file_is_read_strictly(tmp_path, values, field, hint):
    with pytest.raises(InputError) as error:
        read_options(TeacherOptions, config(tmp_path, **values))
    assert error.value.field == field
    assert hint in error.value.hint


def test_flags_win_over_the_file(tmp_path):
    path = config(tmp_path, videos="v", out="here", frames=[1, 2], depth="auto")
    options = read_options(CaptionOptions, path, {"out": Path("there"), "sides": "9,8"})
    found = (options.videos, options.out, options.frames, options.sides, options.depth, options.quality)
    assert found == (Path("v"), Path("there"), (1, 2), (9, 8), "auto", 75)


@pytest.mark.parametrize("kind", STAGES.values(), ids=STAGES)
def test_what_was_resolved_is_a_config_of_the_same_run(tmp_path, kind):
    needed = {"videos": "v", "data": "d", "out": "o", "policy": "random", "url": "http://h", "model": "m"}
    names = {each.name for each in fields(kind)}
    options = read_options(kind, config(tmp_path, **{key: value for key, value in needed.items() if key in names}))
    again = read_options(kind, config(tmp_path, **options.resolved()))
    assert again == options
    assert all(each.metadata["help"] for each in fields(kind))


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    write_traces("small_world", None, folder, limit=30)
    return folder


def test_a_run_leaves_its_options_and_goes_again_from_them(traces, tmp_path):
    out = tmp_path / "out"
    assert command("eval", "--policy", "uniform", "--data", traces, "--out", out, "--limit", 5).exit_code == 0
    kept = (out / "resolved_config.yaml").read_text()
    assert yaml.safe_load(kept)["limit"] == 5
    assert command("eval", "--config", out / "resolved_config.yaml").exit_code == 0
    assert command("eval", "--config", out / "resolved_config.yaml", "--visits", 2).exit_code == 2
    assert (out / "resolved_config.yaml").read_text() == kept


def test_a_refused_run_leaves_nothing(traces, tmp_path):
    out = tmp_path / "out"
    assert command("eval", "--policy", "unheard-of", "--data", traces, "--out", out).exit_code == 2
    assert not out.exists()


def dry(folder, traces):
    return {
        "captions": ("--videos", folder, "--out", folder / "out", "--captioner", "subtitles"),
        "teacher": ("--data", traces, "--url", "http://127.0.0.1:9", "--model", "m"),
        "dataset": ("--data", traces, "--out", folder / "out"),
        "difficulty": ("--data", traces, "--out", folder / "out", "--model", "nowhere"),
        "eval": ("--policy", "local", "--model", "nowhere", "--corpus", "small_world", "--out", folder / "out"),
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_dry_run_prints_the_config_and_does_nothing(stage, traces, tmp_path):
    for name in ("one.mp4", "one.srt"):
        (tmp_path / name).write_text("1\n00:00:00,000 --> 00:00:01,000\nA word.\n" if name.endswith("srt") else "")
    before = sorted(traces.rglob("*")), sorted(tmp_path.rglob("*"))
    result = command(stage, *dry(tmp_path, traces)[stage], "--dry-run")
    assert result.exit_code == 0, result.output
    printed = yaml.safe_load(result.stdout)
    assert printed.keys() == {each.name for each in fields(STAGES[stage]) if not each.metadata["once"]}
    assert (sorted(traces.rglob("*")), sorted(tmp_path.rglob("*"))) == before


@pytest.mark.parametrize(
    ("arguments", "now"),
    [
        (["eval", "--concurrency", "3"], "--in-flight"), (["eval", "--traces=x"], "--data"),
        (["eval", "--checkpoint", "x"], "--model"), (["eval", "--benchmark", "x"], "--corpus"),
        (["teacher", "--rounds", "3"], "--turns"), (["dataset", "--licence", "x"], "--license"),
        (["ask", "v.srt", "--policy-url", "x"], "--url"), (["doctor", "--endpoint", "x"], "--url"),
        (["view", "x", "--limit", "3"], "--first"), (["teacher", "runs/x"], "--data"),
        (["captions", "videos", "out"], "--videos and --out"),
    ],
)  # fmt: skip
def test_an_old_option_is_an_error_that_names_the_new_one(arguments, now):
    result = command(*arguments)
    assert result.exit_code == 2
    assert re.search(rf"{now}\b", result.output)


def test_every_option_has_one_name():
    """What every command means by these is one thing; nothing else is called so."""
    meant = {"--concurrency", "--licence", "--traces", "--benchmark", "--rounds", "--max-completion-tokens"}
    commands = get_command(app).commands
    for name, each in commands.items():
        assert not meant & {flag for parameter in each.params for flag in parameter.opts}, name
        for parameter in each.params:
            assert getattr(parameter, "help", "said"), f"{name} {parameter.name} has no help"


def test_commands_are_listed_in_the_order_of_the_work():
    result = command("--help")
    listed = re.findall(r"^\W*([a-z-]+) {2,}", result.output, re.MULTILINE)
    order = ["doctor", "questions", "captions", "traces", "teacher", "dataset", "sft", "grpo", "eval", "ask", "demo"]
    assert [name for name in listed if name in order] == order
    assert set(get_command(app).commands) <= set(listed)


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert version("clipscout") in command("--version").output


def test_training_is_started_by_accelerate(monkeypatch):
    monkeypatch.chdir(ROOT)
    path, launch = Path("configs/sft/tiny_cpu.yaml"), Path("launch/accelerate/cpu.yaml")
    started = []
    monkeypatch.setattr("os.execv", lambda program, run: started.append(run))
    monkeypatch.setattr("clipscout.training.GPUS", ROOT)
    for name in ("ACCELERATE_USE_CPU", "CLIPSCOUT_PLANNED_LAUNCH"):
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
    more = ("--learning_rate", "0.1")
    given = ("sft", "--config", path, "--launch-args", "--num_processes 2", "--out", "o", "--dry-run", *more)
    result = command(*given)
    assert result.exit_code == 0, result.output
    stage = ("-m", "trainer.sft", "--config", str(path), "--output_dir", "o", "--dry_run", *more)
    accelerate = (sys.executable, "-m", "accelerate.commands.launch", "--quiet")
    assert started == [[*accelerate, "--config_file", str(launch), "--num_processes", "2", *stage]]
    monkeypatch.setattr("clipscout.training.GPUS", ROOT / "no GPU here")
    assert command(*given).exit_code == 0
    assert started[1] == [sys.executable, *stage]
    with pytest.raises(InputError) as error:
        training_command("sft", path, Path("nowhere.yaml"))
    assert error.value.field == "--launch"
