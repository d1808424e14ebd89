"""A corpus that was written for an evaluation is used for that corpus, data and seed alone."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clipscout.main import app
from evaluation.run import corpus_folder
from navigation import InputError


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return corpus_folder("small_world", None, tmp_path_factory.mktemp("made") / "corpus", seed=3, limit=4)


@pytest.fixture
def written(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "corpus"))


def test_the_same_corpus_is_used_again(written):
    before = contents(written)
    (written / "trees/mark").touch()
    assert corpus_folder("small_world", None, written, seed=3, limit=4) == written
    assert contents(written) == before | {"trees/mark": b""}


@pytest.mark.parametrize(
    ("change", "field", "found"),
    [
        ({"seed": 4}, "seed", 3),
        ({"limit": 5}, "limit", 4),
        ({"name": "nextgqa"}, "corpus", "small_world"),
        ({"data": "somewhere"}, "data", None),
    ],
)
def test_another_one_is_refused_by_the_field_that_differs(written, change, field, found):
    before = contents(written)
    with pytest.raises(InputError) as raised:
        corpus_folder(**{"name": "small_world", "data": None, "folder": written, "seed": 3, "limit": 4} | change)
    assert (raised.value.source, raised.value.field, raised.value.value) == (
        str(written / "corpus.json"), field, found,
    )  # fmt: skip
    assert contents(written) == before


@pytest.mark.parametrize("record", [None, "[]", "{"])
def test_questions_of_unknown_origin_are_refused(written, record):
    (written / "corpus.json").unlink()
    if record is not None:
        (written / "corpus.json").write_text(record)
    with pytest.raises(InputError) as error:
        corpus_folder("small_world", None, written, seed=3, limit=4)
    assert (error.value.source, error.value.field) == (str(written / "corpus.json"), "file")


def test_a_kill_before_the_questions_were_written_is_gone_on_from(written):
    before = contents(written)
    (written / "questions.jsonl").unlink()
    corpus_folder("small_world", None, written, seed=3, limit=4)
    assert contents(written) == before


def test_one_data_folder_by_two_paths_is_one(tmp_path, monkeypatch):
    (tmp_path / "corpus").mkdir()
    record = {"corpus": "goalstep", "data": str(tmp_path / "data"), "seed": 0, "limit": None}
    (tmp_path / "corpus/corpus.json").write_text(json.dumps(record))
    (tmp_path / "corpus/questions.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert corpus_folder("goalstep", "data", tmp_path / "corpus") == tmp_path / "corpus"


def test_the_command_does_not_answer_for_another_corpus(written, tmp_path):
    shutil.copytree(written, tmp_path / "out/corpus")
    record = json.loads((written / "corpus.json").read_text())
    (tmp_path / "out/corpus/corpus.json").write_text(json.dumps(record | {"limit": None}))
    command = ["eval", "--policy", "uniform", "--out", str(tmp_path / "out"), "--limit", "3"]
    assert CliRunner().invoke(app, [*command, "--corpus", "small_world", "--seed", "3"]).exit_code == 0
    before = contents(tmp_path)
    for other in (["--corpus", "goalstep", "--data", str(tmp_path)], ["--corpus", "small_world"]):
        refused = CliRunner().invoke(app, [*command, *other])
        assert refused.exit_code == 2
        assert str(tmp_path / "out/corpus/corpus.json") in refused.output
    assert contents(tmp_path) == before
