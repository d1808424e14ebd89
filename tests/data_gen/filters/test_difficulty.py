import json

import pytest
from typer.testing import CliRunner

from clipscout.main import app
from data_gen.corpora import write_corpus
from data_gen.corpora.small_world import load
from data_gen.filters import pass_rates
from navigation import Status, Trajectory, read_questions


def trajectory(question, sample, correct=False, status=Status.ANSWERED):
    return Trajectory(f"{question}#{sample}", question, "v", [], [], "A", correct, status, [])


def test_rates_count_right_answers_and_leave_out_what_failed():
    trajectories = [
        trajectory("a", 0, True),
        trajectory("a", 1),
        trajectory("a", 2, True),
        trajectory("a", 3, status=Status.FAILED),
        trajectory("b", 0, status=Status.FAILED),
        trajectory("c", 0, status=Status.OUT_OF_TURNS),
        trajectory("d", 0, True),
    ]
    assert pass_rates(trajectories) == {"a": pytest.approx(2 / 3), "c": 0.0, "d": 1.0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(load(seed=1, videos=2, limit=6), folder)
    return folder


def difficulty(corpus, out, *options):
    return CliRunner().invoke(app, ["difficulty", "--data", str(corpus), "--out", str(out), *options])


def test_the_command_rates_every_question_and_goes_on_where_it_was(corpus, tmp_path):
    options = ("--policy", "random", "--visits", "2", "--samples", "5")
    result = difficulty(corpus, tmp_path, *options)
    assert result.exit_code == 0, result.output
    rates = json.loads((tmp_path / "pass_rates.json").read_text())
    assert set(rates) == {question.id for question in read_questions(corpus / "questions.jsonl")}
    assert all(rate * 5 == pytest.approx(round(rate * 5)) for rate in rates.values())
    trajectories = (tmp_path / "trajectories.jsonl").read_bytes()
    # As after a kill: half of the trajectories, the last one torn.
    (tmp_path / "trajectories.jsonl").write_bytes(trajectories[: len(trajectories) // 2])
    assert difficulty(corpus, tmp_path, *options).exit_code == 0
    assert (tmp_path / "trajectories.jsonl").read_bytes() == trajectories
    assert json.loads((tmp_path / "pass_rates.json").read_text()) == rates


def test_a_policy_that_always_answers_rightly_teaches_nothing(corpus, tmp_path):
    result = difficulty(corpus, tmp_path, "--policy", "expert", "--samples", "2", "--turns", "30")
    assert "0 solved sometimes, 6 always, 0 never" in result.output


def test_other_settings_and_unknown_policies_are_refused(corpus, tmp_path):
    assert difficulty(corpus, tmp_path, "--policy", "random", "--visits", "2", "--samples", "2").exit_code == 0
    assert difficulty(corpus, tmp_path, "--policy", "random", "--visits", "3", "--samples", "2").exit_code == 2
    assert difficulty(corpus, tmp_path / "x", "--policy", "oracle").exit_code == 2
