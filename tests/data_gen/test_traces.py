"""`clipscout traces`: trajectories, or what is missing for them; no trajectories of a teacher or an evaluation are
overwritten."""

import json

import pytest
from typer.testing import CliRunner

from clipscout.main import app
from data_gen import traces as stage
from data_gen.corpora import Corpus, write_corpus
from data_gen.corpora.small_world import load
from data_gen.teacher import TeacherJob, TeacherSettings
from navigation import InputError, TreeStore
from runtime import EndpointSettings
from runtime.ranked_run import run_ranks


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus():
    return load(seed=3, videos=4, limit=12)


@pytest.fixture
def loading(monkeypatch):
    """Makes every name the given corpus."""
    return lambda corpus: monkeypatch.setattr(stage, "load_corpus", lambda *_: corpus)


@pytest.fixture
def taught(corpus, tmp_path):
    """A folder that a teacher was begun in; its endpoint refused the connection."""
    write_corpus(corpus, tmp_path)
    nobody = EndpointSettings("http://127.0.0.1:1/v1", "model", attempts=1, timeout=1, first_wait=0.01)
    job = TeacherJob(tmp_path, TeacherSettings("model"), nobody)
    assert not run_ranks(job, quiet=True).complete
    (tmp_path / "trajectories.jsonl").write_text("paid\n")
    return tmp_path


def test_trajectories_are_written_where_none_are(corpus, loading, tmp_path):
    loading(corpus)
    for _ in range(2):
        stats = stage.write_traces("small_world", None, tmp_path)
        assert (
            stats["trajectories"]["trajectories"]
            == len((tmp_path / "trajectories.jsonl").read_text().splitlines())
            == 12
        )


@pytest.mark.parametrize(("clues", "command"), [(True, "clipscout captions"), (False, "clipscout teacher")])
def test_nothing_to_navigate_is_no_success(clues, command, corpus, loading, tmp_path):
    questions = [type(q).from_dict(q.to_dict() | ({} if clues else {"clue_intervals": []})) for q in corpus.questions]
    loading(Corpus("cgbench", questions))
    result = CliRunner().invoke(app, ["traces", "--corpus", "cgbench", "--data", "x", "--out", str(tmp_path / "out")])
    assert result.exit_code != 0
    assert isinstance(result.exception, InputError)
    assert result.exception.field == "trajectories"
    assert command in result.exception.hint
    assert (tmp_path / "out/questions.jsonl").is_file()
    assert not (tmp_path / "out/trajectories.jsonl").exists()


def test_trees_that_are_put_there_are_played(corpus, loading, tmp_path):
    loading(Corpus("cgbench", corpus.questions))
    for tree in corpus.trees:
        TreeStore(tmp_path / "trees").save(tree)
    assert stage.write_traces("cgbench", "x", tmp_path)["trajectories"]["trajectories"] == 12


@pytest.mark.parametrize("collected_only", [False, True])
def test_a_teachers_trajectories_are_not_overwritten(taught, corpus, loading, collected_only):
    loading(corpus)
    if collected_only:
        (taught / ".run/teacher/settings.json").unlink()
    before = contents(taught)
    with pytest.raises(InputError) as error:
        stage.write_traces("small_world", None, taught)
    assert error.value.field == "folder"
    assert contents(taught) == before


def test_an_evaluations_trajectories_are_not_overwritten(corpus, loading, tmp_path):
    loading(corpus)
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "trajectories.jsonl").write_text("played\n")
    before = contents(tmp_path)
    with pytest.raises(InputError) as error:
        stage.write_traces("small_world", None, tmp_path)
    assert error.value.source == str(tmp_path / "settings.json")
    assert contents(tmp_path) == before


def test_the_same_corpus_or_a_larger_one_may_be_written_beside_a_teachers_trajectories(taught, corpus, loading):
    loading(corpus)
    before = contents(taught)
    stage.write_questions("small_world", None, taught)
    assert contents(taught) == before
    more = type(corpus.questions[0]).from_dict(corpus.questions[0].to_dict() | {"id": "added"})
    loading(Corpus(corpus.name, [more, *corpus.questions], corpus.trees))
    stage.write_questions("small_world", None, taught)
    assert json.loads((taught / "questions.jsonl").read_text().splitlines()[0])["id"] == "added"
    assert contents(taught) | {"questions.jsonl": b""} == before | {"questions.jsonl": b""}


@pytest.mark.parametrize("change", ["question", "fewer", "tree"])
def test_questions_and_trees_that_a_teacher_played_are_kept(change, taught, corpus, loading):
    questions, trees = list(corpus.questions), list(corpus.trees)
    if change == "question":
        questions[5] = type(questions[5]).from_dict(questions[5].to_dict() | {"question": "Where is it now?"})
    elif change == "fewer":
        del questions[5]
    else:
        captions = dict(trees[1].captions) | {(1,): "another caption"}
        trees[1] = type(trees[1])(trees[1].video_id, trees[1].grid, captions, trees[1].made_by, trees[1].lines)
    loading(Corpus(corpus.name, questions, trees))
    before = contents(taught)
    with pytest.raises(InputError) as error:
        stage.write_questions("small_world", None, taught)
    assert error.value.field == ("tree" if change == "tree" else "question")
    assert contents(taught) == before
