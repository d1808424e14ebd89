"""Summaries: what counts as right, what N is, and what an index adds to the cost."""

import pytest

from evaluation.meter import Measures
from evaluation.metrics import summarise
from navigation import InputError, Status, Trajectory, Visit


def trajectory(question, sample=0, prediction=None, status=Status.ANSWERED, visits=2, **more):
    return Trajectory(
        f"{question.id}#{sample}", question.id, question.video_id, [], [], prediction, prediction == question.answer,
        status, [Visit("get_caption", (1,))] * visits, turns=3, completion_tokens=10, **more,
    )  # fmt: skip


def test_a_failed_episode_counts_as_no_letter_and_stays_in_n(questions):
    always_a = [question for question in questions if question.answer == "A"]
    failed = [trajectory(question, status=Status.FAILED) for question in always_a]
    summary = summarise([*failed, trajectory(questions[1], prediction="B")], questions)
    assert summary["accuracy"] == 0.25
    assert (summary["n"], summary["answered"]) == (4, 1)
    assert summary["statuses"] == {**dict.fromkeys(Status, 0), "answered": 1, "failed": 3}


def test_means_intervals_and_kinds(questions):
    played = [
        trajectory(question, prediction="A", visits=number, measures={"visit_cost": 2.0 * number})
        for number, question in enumerate(questions)
    ]
    summary = summarise(played, questions)
    assert summary["visits"] == 2.5
    assert summary["visit_cost"] == 5.0
    assert 0 <= summary["visits_ci"][0] <= 2.5 <= summary["visits_ci"][1] <= 5
    what = summary["by_kind"]["what"]
    assert (what["n"], what["accuracy"], what["accuracy_ci"], what["visits"]) == (3, 1.0, [1.0, 1.0], 2.0)
    assert summary["by_kind"]["next"]["accuracy"] == 0.0
    assert summary["grounding"] is None
    assert summary["grounding_n"] == 0


def test_grounding_is_a_mean_over_questions_with_clues(questions):
    played = [
        trajectory(questions[0], prediction="A", reward={"grounding": 0.5}),
        trajectory(questions[1], prediction="A", reward={"grounding": None}),
    ]
    summary = summarise(played, questions)
    assert (summary["grounding"], summary["grounding_n"], summary["grounding_ci"]) == (0.5, 1, [0.5, 0.5])


def test_an_index_is_counted_by_question_and_shared_by_video(questions):
    played = [trajectory(question, measures={"visit_cost": 4.0, "index_captions": 27}) for question in questions]
    summary = summarise(played, questions)
    assert summary["visit_cost"] == 4.0
    assert summary["index_captions"] == 27.0
    assert summary["visit_cost_with_index"] == 31.0
    assert summary["visit_cost_with_shared_index"] == 4.0 + 27 * 3 / 6
    assert "visit_cost_with_index" not in summarise([trajectory(questions[0])], questions)


def test_order_of_trajectories_does_not_matter_to_the_means(questions):
    played = [
        trajectory(question, sample, prediction="A", visits=7 * sample + 1, measures={"visit_cost": 0.1 * sample})
        for question in questions for sample in range(3)
    ]  # fmt: skip
    forth, back = summarise(played, questions), summarise(played[::-1], questions)
    for metric in ("accuracy", "visits", "visit_cost", "n", "questions", "statuses"):
        assert forth[metric] == back[metric]
    assert (forth["n"], forth["questions"]) == (18, 6)


def test_a_trajectory_of_another_question_is_refused(questions):
    with pytest.raises(InputError) as error:
        summarise([trajectory(questions[0])], questions[1:])
    assert (error.value.field, error.value.value) == ("question_id", "small/v0/what")


def test_records_of_the_version_before_keep_their_measures_under_teacher(questions):
    figures = {"visit_cost": 4.0, "index_captions": 27, "evidence": [[1.0, 2.0]], "meter": {"captions": 3}}
    old = trajectory(questions[0], teacher={"model": "retrieval", **figures})
    new = trajectory(questions[0], teacher={"model": "retrieval"}, measures=figures)
    assert Measures.of(old) == Measures.of(new)
    assert Measures.of(new).to_dict() == figures
    assert Measures.of(trajectory(questions[0])).to_dict() == {"evidence": (), "meter": {}}
