"""A teacher of questions in words: its answers are judged, and an outage of the judge is no trajectory."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from data_gen.teacher.episode import TeacherEpisode, TerminationReason
from data_gen.teacher.settings import TeacherSettings
from data_gen.traces import write_traces
from navigation import NavigationEnvironment, RequestFailed, TreeStore, read_questions, run
from rewards.answer import Verdict
from runtime import Usage

sys.path.append(str(Path(__file__).parents[2] / "rewards"))


class Calls:
    """Replies as scripted; `asked` holds the transcripts."""

    stopped = ""

    def __init__(self, *replies):
        self.replies, self.asked = list(replies), []

    async def chat(self, key, messages, max_tokens, **parameters):
        self.asked.append([dict(message) for message in messages])
        return {"content": self.replies.pop(0), "reasoning": "", "finish_reason": "stop"}, Usage()


class Judge:
    stopped, settings = "", {}

    def __init__(self, *verdicts):
        self.verdicts = list(verdicts)

    async def verdict(self, question, answer):
        found = self.verdicts.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


RIGHT, WRONG = Verdict("right", 1.0, "judge"), Verdict("wrong", 0.0, "judge")


@pytest.fixture
def world(tmp_path):
    write_traces("small_world", None, tmp_path, limit=4, open_form=True)
    return TreeStore(tmp_path / "trees"), list(read_questions(tmp_path / "questions.jsonl"))


def play(world, calls, judge):
    trees, questions = world
    episode = TeacherEpisode(questions[0], TeacherSettings("m"), calls, judge=judge)
    trajectory = asyncio.run(run(episode, NavigationEnvironment(trees), questions[0]))
    return episode, episode.complete(trajectory)


def answer(text):
    return f"<think>so</think><answer>{text}</answer>"


def test_a_wrong_answer_gets_a_hint_and_a_right_one_ends_it(world):
    calls = Calls(answer("some shade"), answer("the same in other words"))
    episode, trajectory = play(world, calls, Judge(WRONG, RIGHT))
    assert episode.termination is TerminationReason.RIGHT
    assert trajectory.correct
    assert trajectory.verdict["label"] == "right"
    assert trajectory.prediction == "the same in other words"
    assert calls.asked[1][-1]["content"].startswith("The answer some shade is wrong. Look at segment")
    assert "<answer>B</answer>" not in calls.asked[0][0]["content"]


def test_rules_need_no_judge(world):
    reference = world[1][0].references[0]
    episode, trajectory = play(world, Calls(answer(f"{reference.upper()}.")), Judge())
    assert episode.termination is TerminationReason.RIGHT
    assert trajectory.verdict["by"] == "exact"


def test_what_nobody_can_tell_is_kept_apart(world):
    episode, trajectory = play(world, Calls(answer("some shade")), Judge(Verdict("cannot_tell", None, "judge")))
    assert episode.termination is TerminationReason.UNJUDGED
    assert not trajectory.correct


def test_an_outage_of_the_judge_is_no_trajectory(world):
    with pytest.raises(RequestFailed):
        play(world, Calls(answer("some shade")), Judge(RequestFailed("gone")))


def test_sets_keep_what_was_judged_right(world, tmp_path):
    from data_gen.filters import FilterSettings, filter_trajectories

    trees, questions = world
    trajectories = []
    for number, verdict in enumerate((RIGHT, WRONG, Verdict("cannot_tell", None, "judge"))):
        calls = Calls(*[answer("some shade")] * 6)
        episode = TeacherEpisode(questions[number], TeacherSettings("m"), calls, judge=Judge(*[verdict] * 6))
        trajectories.append(
            episode.complete(asyncio.run(run(episode, NavigationEnvironment(trees), questions[number])))
        )
    from data_gen.filters import FilterReport

    report, settings = FilterReport(), FilterSettings(ungrounded=False, near_duplicates=None)
    by_id = {each.id: replace(each) for each in questions}
    kept = list(filter_trajectories(trajectories, by_id, trees, settings, report))
    assert [each.question_id for each in kept] == [questions[0].id]
    assert dict(+report.dropped) == {"wrong": 1, "unjudged": 1}
