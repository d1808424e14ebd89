"""`make eval` on a corpus folder: summary, restart, and what it refuses."""

import json

import pytest

from evaluation.run import evaluate_corpus, read_summary, write_summary
from navigation import InputError, write_jsonl


@pytest.fixture
def corpus(tmp_path, trees, questions):
    write_jsonl(tmp_path / "questions.jsonl", (question.to_dict() for question in questions))
    return {"questions": tmp_path / "questions.jsonl", "trees": trees.folder}


def test_a_summary_has_every_metric_with_its_interval(corpus, mix, tmp_path):
    summary = evaluate_corpus(**corpus, policy="retrieval", out=tmp_path / "out", mix=mix, visits=3)
    assert summary == read_summary(tmp_path / "out/summary.json")
    scores = summary["policies"]["retrieval"]
    for metric in (
        "accuracy",
        "visits",
        "visit_cost",
        "grounding",
        "turns",
        "refused",
        "prompt_tokens",
        "completion_tokens",
    ):
        low, high = scores[f"{metric}_ci"]
        assert low <= scores[metric] <= high
    assert (scores["n"], scores["visits"], scores["visit_cost"]) == (6, 3.0, 6.0)
    assert scores["visit_cost_with_index"] == 33.0
    assert set(scores["by_kind"]) == {"what", "next"}
    assert summary["seed"] == 0
    assert summary["seconds"] > 0


def test_the_default_mix_is_the_project_s_own(corpus, tmp_path):
    summary = evaluate_corpus(**corpus, policy="exhaustive", out=tmp_path / "out")
    scores = summary["policies"]["exhaustive"]
    assert scores["visit_cost"] == 27.0
    assert 0 < scores["grounding"] < 1


def test_two_runs_differ_in_wall_time_alone(corpus, mix, tmp_path):
    runs = [evaluate_corpus(**corpus, policy="random", out=tmp_path / name, mix=mix, seed=5) for name in "ab"]
    assert runs[0]["policies"] == runs[1]["policies"]
    assert (tmp_path / "a/trajectories.jsonl").read_bytes() == (tmp_path / "b/trajectories.jsonl").read_bytes()


def test_a_second_call_changes_nothing(corpus, mix, tmp_path):
    first = evaluate_corpus(**corpus, policy="uniform", out=tmp_path / "out", mix=mix)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert evaluate_corpus(**corpus, policy="uniform", out=tmp_path / "out", mix=mix) == first
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_other_captions_are_other_results(corpus, mix, tmp_path, trees, make_tree):
    evaluate_corpus(**corpus, policy="uniform", out=tmp_path / "out", mix=mix)
    trees.save(make_tree("v1", 4))
    with pytest.raises(InputError) as error:
        evaluate_corpus(**corpus, policy="uniform", out=tmp_path / "out", mix=mix)
    assert error.value.field == "settings"
    assert "trees.sha256: " in error.value.hint


def test_a_limit_takes_the_first_questions(corpus, mix, tmp_path):
    summary = evaluate_corpus(**corpus, policy="overview", out=tmp_path / "out", mix=mix, limit=2)
    assert summary["policies"]["overview"]["n"] == 2


def test_missing_files_are_named(corpus, mix, tmp_path):
    with pytest.raises(InputError) as error:
        evaluate_corpus(tmp_path / "nowhere.jsonl", corpus["trees"], "uniform", tmp_path / "out", mix=mix)
    assert (error.value.source, error.value.field) == (str(tmp_path / "nowhere.jsonl"), "questions")
    with pytest.raises(InputError) as error:
        evaluate_corpus(corpus["questions"], tmp_path / "no_trees", "uniform", tmp_path / "out", mix=mix)
    assert (error.value.source, error.value.field) == (str(tmp_path / "no_trees"), "trees")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError) as error:
        evaluate_corpus(tmp_path / "empty.jsonl", corpus["trees"], "uniform", tmp_path / "out", mix=mix)
    assert (error.value.field, error.value.value) == ("questions", [])


def test_a_summary_file_is_read_back_or_refused(tmp_path):
    written = write_summary(tmp_path / "summary.json", {"a": {"accuracy": 0.5}}, 1.25, 3)
    assert read_summary(tmp_path / "summary.json") == written == json.loads((tmp_path / "summary.json").read_text())
    assert "percentile bootstrap, 2000 resamples" in written["interval"]
    for text in ("[]", "{", '{"policies": 3}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError) as error:
            read_summary(tmp_path / "bad.json")
        assert error.value.source == str(tmp_path / "bad.json")
