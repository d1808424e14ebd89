"""Stages one after another and beside each other, what fails, and what is counted."""

import json
import sys

import pytest

from clipscout.demo_stages import Stages, stage_seconds
from navigation import InputError


def python(code, *arguments):
    return [sys.executable, "-c", code, *map(str, arguments)]


APPEND = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
WAIT_FOR = "import sys, pathlib\nwhile not pathlib.Path(sys.argv[1]).exists(): pass\nprint('seen')"
TOUCH = "import sys, pathlib; pathlib.Path(sys.argv[1]).touch()"


def test_a_finished_stage_is_not_run_again_unless_its_command_changed(tmp_path):
    said = tmp_path / "said"
    for letter in ("a", "a", "b"):
        with Stages(tmp_path, 2) as stages:
            stages.run("one", python(APPEND, said, letter))
            stages.beside("two", python(APPEND, said, letter.upper()))
            stages.join()
    assert sorted(said.read_text()) == ["A", "B", "a", "b"]


def test_what_runs_beside_runs_at_the_same_time_and_writes_to_its_log(tmp_path):
    with Stages(tmp_path, 2) as stages:
        stages.beside("first", python(WAIT_FOR, tmp_path / "flag"))
        stages.beside("second", python(APPEND, tmp_path / "said", "x"))
        stages.run("main", python(TOUCH, tmp_path / "flag"))
        stages.join()
    assert (tmp_path / "logs" / "first.log").read_text() == "seen\n"
    assert (tmp_path / "said").read_text() == "x"


def one_stage(out, command, beside):
    with Stages(out, 1) as stages:
        if beside:
            stages.beside("bad", command)
            stages.join()
        else:
            stages.run("bad", command)


@pytest.mark.parametrize("beside", [False, True])
def test_a_failure_says_where_to_look_and_is_run_again(tmp_path, beside):
    for _ in range(2):
        with pytest.raises(InputError) as error:
            one_stage(tmp_path, python("import sys; sys.exit(3)"), beside)
        assert (error.value.field, error.value.value) == ("bad", "exit code 3")
        assert ("logs/bad.log" if beside else "above") in error.value.hint
    assert not (tmp_path / "done" / "bad.json").exists()
    assert (tmp_path / "done" / "bad.begins").read_text() == "2\n"


def failing_beside_an_endless_one(out):
    with Stages(out, 4) as stages:
        stages.beside("endless", python(TOUCH + "\nwhile True: pass", out / "begun"))
        stages.beside("never", python(TOUCH, out / "never"))
        stages.run("look", python(WAIT_FOR, out / "begun"))
        stages.run("bad", python("raise SystemExit(1)"))


def test_an_error_ends_what_runs_beside_and_what_waits_there(tmp_path):
    with pytest.raises(InputError) as error:
        failing_beside_an_endless_one(tmp_path)
    assert error.value.field == "bad"
    assert not (tmp_path / "never").exists()


def failing_beside_many(out):
    with Stages(out, 1001) as stages:
        stages.beside("bad", python(TOUCH + "\nraise SystemExit(1)", out / "flag"))
        for number in range(1000):
            stages.run(f"main {number}", python(WAIT_FOR, out / "flag"))


def test_a_failure_beside_is_told_after_the_stage_that_runs_then(tmp_path):
    with pytest.raises(InputError) as error:
        failing_beside_many(tmp_path)
    assert error.value.field == "bad"
    assert "bad.log" in error.value.hint


def test_time_beside_is_not_counted_but_the_wait_for_it_is(tmp_path):
    records = {
        "one": {"seconds": 5.0, "restarts": 0, "beside": False}, "two": {"seconds": 7.0, "restarts": 1, "beside": True},
        "wait": {"seconds": 2.0},
    }  # fmt: skip
    (tmp_path / "done").mkdir()
    for name, record in records.items():
        (tmp_path / "done" / f"{name}.json").write_text(json.dumps(record))
    assert stage_seconds(tmp_path) == (7.0, {"one": 5.0, "two": 7.0}, ["two"])
