"""Evaluation of answers in words: right counts under good and bad judges, outages that are asked again, no mixing."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.comparison import compare
from evaluation.evaluate import EvaluationStopped
from evaluation.result import read_result
from evaluation.run import evaluate_corpus
from navigation import InputError, Policy, Reply, answer_message, read_jsonl, write_jsonl
from rewards import RewardMix

sys.path.append(str(Path(__file__).parents[1] / "rewards"))
from scripted_judge import BAD, Raw, ScriptedJudge, at_random, fair, verdict

SAID = ["red", "crimson", "reddish", "blue", "crimson 2", None]
"""An exact match, three for the judge, one that it calls right, and no answer."""


class Says(Policy):
    """Answers as scripted and opens nothing."""

    name = "says"
    played = 0

    def __init__(self, seed=0):
        pass

    async def reply(self, task, messages):
        type(self).played += 1
        return Reply(answer_message("", SAID[int(task.question.id[-1])] or ""))


@pytest.fixture
def mix():
    return RewardMix()


@pytest.fixture
def words(tmp_path, trees, questions, monkeypatch):
    from evaluation import policies

    asked = [
        replace(question, id=f"w{number}", options=(), answer="", references=("red",), kind="colour")
        for number, question in enumerate(questions)
    ]
    write_jsonl(tmp_path / "questions.jsonl", (question.to_dict() for question in asked))
    monkeypatch.setitem(policies._CLASSES, "says", (__name__, "Says"))
    Says.played = 0
    return {"questions": tmp_path / "questions.jsonl", "trees": trees.folder, "policy": "says"}


def under(say, words, out, mix, **settings):
    """An evaluation under a scripted judge, in a thread of its own since both have an event loop."""

    async def go():
        async with ScriptedJudge(say) as server:
            judge = server.settings(**settings)
            return await asyncio.to_thread(evaluate_corpus, **words, out=out, mix=mix, judge=judge), server.requests

    return asyncio.run(go())


def test_without_a_judge_exact_answers_are_right_and_overlap_stands_beside(words, mix, tmp_path):
    summary = evaluate_corpus(**words, out=tmp_path / "out", mix=mix)
    scores = summary["policies"]["says"]
    assert scores["accuracy"] == pytest.approx(1 / 6)
    assert scores["verdicts"]["by"] == {"exact": 1, "rules": 4}
    assert scores["token_f1"] == pytest.approx(0.2)
    assert summary["card"]["judge"] == {"judge": "rules"}
    assert scores["answered"] == 5


def test_a_judge_decides_what_rules_cannot(words, mix, tmp_path):
    summary, requests = under(fair, words, tmp_path / "out", mix)
    scores = summary["policies"]["says"]
    assert scores["accuracy"] == pytest.approx(3 / 6)
    assert scores["share_right"] == pytest.approx(3.5 / 6)
    assert (scores["verdicts"]["right"], scores["verdicts"]["partly"], scores["verdicts"]["wrong"]) == (3, 1, 1)
    assert scores["verdicts"]["agreement"] == 1.0
    low, high = scores["accuracy_with_votes_ci"]
    assert low <= scores["accuracy"] <= high
    assert len(requests) == 8
    rows = {row.id: row for row in read_result(tmp_path / "out").rows}
    assert [rows[f"w{number}#0"].correct for number in range(6)] == [True, True, False, False, True, False]
    record = next(row for _, row in read_jsonl(tmp_path / "out/trajectories.jsonl") if row["id"] == "w2#0")
    assert record["reward"]["answer"] == 0.5
    assert record["verdict"]["votes"] == ["partly", "partly"]
    card = summary["card"]["judge"]
    assert (card["model"], card["votes"]) == ("stub", 3)
    assert summary["judge"]["requests"]["requests"] == 8


def test_a_second_call_asks_nobody(words, mix, tmp_path):
    first, _ = under(fair, words, tmp_path / "out", mix)
    played = Says.played
    second, requests = under(fair, words, tmp_path / "out", mix)
    assert requests == []
    assert Says.played == played
    assert second["policies"] == first["policies"]


def test_an_outage_is_not_measured_and_asked_again_without_playing_again(words, mix, tmp_path):
    out = tmp_path / "out"
    gone = lambda answer: Raw(500) if answer == "crimson" else fair(answer)  # noqa: E731
    summary, _ = under(gone, words, out, mix)
    scores = summary["policies"]["says"]
    # 3 of 6 are right; counted as wrong it would be 2 of 6.
    assert (scores["n"], scores["accuracy"]) == (5, pytest.approx(2 / 5))
    assert sum(summary["unmeasured"].values()) == 1
    assert [row["id"] for _, row in read_jsonl(out / "unjudged.jsonl")] == ["w1#0"]
    played = Says.played
    summary, requests = under(fair, words, out, mix)
    assert Says.played == played
    assert len(requests) == 2
    assert summary["policies"]["says"]["accuracy"] == pytest.approx(3 / 6)
    assert "unmeasured" not in summary
    assert not (out / "unjudged.jsonl").exists()
    assert [row["id"] for _, row in read_jsonl(out / "trajectories.jsonl")] == [f"w{number}#0" for number in range(6)]


@pytest.mark.parametrize("name", BAD)
def test_a_judge_that_says_nothing_leaves_nothing_at_zero_or_one(name, words, mix, tmp_path):
    """What rules decided, and what was not answered, is measured; the rest is not, or the run says why it stopped."""
    if name in ("refused", "html"):
        with pytest.raises(EvaluationStopped, match="the judge"):
            under(BAD[name], words, tmp_path / "out", mix)
    else:
        summary, _ = under(BAD[name], words, tmp_path / "out", mix)
        scores = summary["policies"]["says"]
        assert (scores["n"], scores["accuracy"]) == (2, 0.5)
        assert sum(summary["unmeasured"].values()) == 4
    summary, _ = under(fair, words, tmp_path / "out", mix)
    assert summary["policies"]["says"]["accuracy"] == pytest.approx(3 / 6)


def test_a_judge_that_always_says_right_shows_in_the_counts(words, mix, tmp_path):
    summary, _ = under(lambda answer: verdict("right"), words, tmp_path / "out", mix)
    scores = summary["policies"]["says"]
    assert scores["accuracy"] == pytest.approx(5 / 6)
    assert scores["verdicts"]["by"] == {"exact": 1, "judge": 4}


def test_a_judge_that_cannot_tell_decides_nothing(words, mix, tmp_path):
    summary, _ = under(lambda answer: verdict("cannot_tell"), words, tmp_path / "out", mix)
    scores = summary["policies"]["says"]
    assert (scores["n"], scores["accuracy_n"], scores["accuracy"]) == (6, 2, 0.5)
    assert scores["verdicts"]["cannot_tell"] == 4
    assert summary["scores"]["metrics"]["accuracy"]["n"] == 2


def test_a_random_judge_shows_in_its_agreement(words, mix, tmp_path):
    summary, _ = under(at_random(), words, tmp_path / "out", mix, votes=5)
    scores = summary["policies"]["says"]
    assert scores["n"] == 6
    assert scores["verdicts"]["agreement"] is None or scores["verdicts"]["agreement"] < 1


def test_results_under_two_judges_are_never_mixed(words, mix, tmp_path):
    evaluate_corpus(**words, out=tmp_path / "rules", mix=mix)
    under(fair, words, tmp_path / "judged", mix)
    with pytest.raises(InputError):
        under(fair, words, tmp_path / "rules", mix)
    with pytest.raises(InputError):
        under(fair, words, tmp_path / "judged", mix, votes=5)
    results = [read_result(tmp_path / name) for name in ("rules", "judged")]
    with pytest.raises(InputError) as error:
        compare(results)
    assert error.value.field == "judge"
    (comparison,) = compare(results, other_judges=True)
    assert any("judge" in note for note in comparison.notes)
    assert [entry.accuracy.value for entry in comparison.entries] == pytest.approx([1 / 6, 3 / 6])
    assert comparison.chance == 0


def test_a_judge_of_letters_is_refused(tmp_path, trees, questions, mix):
    write_jsonl(tmp_path / "questions.jsonl", (question.to_dict() for question in questions))
    letters = {"questions": tmp_path / "questions.jsonl", "trees": trees.folder, "policy": "random"}
    with pytest.raises(InputError) as error:
        under(fair, letters, tmp_path / "out", mix)
    assert error.value.field == "judge"


def test_a_set_may_mix_both_forms(words, mix, tmp_path, questions):
    rows = [row for _, row in read_jsonl(words["questions"])]
    write_jsonl(words["questions"], [*rows[:3], *(question.to_dict() for question in questions[3:])])
    summary = evaluate_corpus(**{**words, "policy": "expert"}, out=tmp_path / "out", mix=mix)
    scores = summary["policies"]["expert"]
    assert scores["accuracy"] == 1.0
    assert scores["verdicts"]["by"] == {"exact": 3}
    rows = read_result(tmp_path / "out").rows
    assert [row.options for row in rows] == [0, 0, 0, 4, 4, 4]
    lines = (tmp_path / "out/result.jsonl").read_text().splitlines()
    assert ["verdict" in json.loads(line) for line in lines[1:]] == [True] * 3 + [False] * 3
