import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_gen.teacher import HintSettings, TeacherSettings, prompt, settings
from data_gen.teacher.episode import clue_segments, hint_message, hints
from navigation import Question, TimeGrid

GRID = TimeGrid(640.0, 4, 3)


def question(*clues, duration=640.0):
    return Question("q", "v", "?", ("a", "b"), "A", clues, duration)


def test_each_hint_is_one_level_finer_and_the_last_asks_to_verify():
    given_hints = hints(question((165.0, 166.0)), GRID, HintSettings())
    assert given_hints == [
        "Look at segment [2].", "Look at segment [2, 1].", "Look at segment [2, 1, 1].",
        "Verify with video_qa on segment [2, 1, 1] before you answer.",
    ]  # fmt: skip


def test_a_clue_at_the_end_names_a_segment_that_exists():
    assert hints(question((630.0, 640.0)), GRID, HintSettings())[2] == "Look at segment [4, 4, 4]."
    assert clue_segments(question((640.0, 640.0)), GRID, 3) == [(4, 4, 4)]


def test_the_config_decides_how_many():
    assert len(hints(question((1.0, 2.0)), GRID, HintSettings(levels=1, verify=False))) == 1
    assert hints(question((1.0, 2.0)), GRID, HintSettings(levels=0, verify=False)) == []
    assert hints(question(), GRID, HintSettings()) == ["Verify with video_qa before you answer."]


def test_a_long_clue_is_named_by_its_first_segments():
    assert (
        hints(question((0.0, 640.0)), GRID, HintSettings(most_segments=2))[2]
        == "Look at segments [1, 1, 1], [1, 1, 2]."
    )


@pytest.mark.parametrize("name", [
    "PROTOCOL", "CORRECTION", "WRONG", "LOOK", "VERIFY", "VERIFY_ON", "ONE_SEGMENT", "MANY_SEGMENTS", "RESULT",
])  # fmt: skip
def test_a_run_is_another_when_what_a_teacher_is_told_is_worded_otherwise(monkeypatch, name):
    before = TeacherSettings("m").to_dict()["prompt_sha256"]
    monkeypatch.setattr(prompt, name, getattr(prompt, name).replace("e", "3"))
    assert TeacherSettings("m").to_dict()["prompt_sha256"] != before


def test_a_run_is_another_under_another_chat_template(monkeypatch):
    before = TeacherSettings("m").to_dict()["prompt_sha256"]
    monkeypatch.setattr(settings, "chat_template", lambda: "another")
    assert TeacherSettings("m").to_dict()["prompt_sha256"] != before


def test_every_sentence_of_a_hint_and_of_a_tools_reply_is_among_the_hashed_ones(monkeypatch):
    """Emptied of the words, nothing of them is left but what the trajectory puts in."""
    for name in [name for name in vars(prompt) if name.isupper()]:
        holes = re.findall(r"\{(?:letter|hint|segments|paths|content)\}", getattr(prompt, name))
        monkeypatch.setattr(prompt, name, "".join(holes))
    two = question((165.0, 166.0), (302.0, 308.0))
    assert hints(two, GRID, HintSettings()) == ["[2]", "[2, 1], [2, 4]", *["[2, 1, 1], [2, 4, 3]"] * 2]
    assert hints(question(), GRID, HintSettings()) == [""]
    assert hint_message("A", "x") == "Ax"
    assert prompt.tool_reply("caption") == "caption"


@given(st.floats(0, 640), st.floats(0, 640), st.integers(1, 3))
def test_named_segments_hold_the_clue(one, other, level):
    begin, end = sorted((one, other))
    found = clue_segments(question((begin, end)), GRID, level)
    assert found
    assert all(GRID.contains(path) and len(path) == level for path in found)
    assert GRID.interval(found[0])[0] <= begin
    assert GRID.interval(found[-1])[1] >= end
