"""Answers in words: what is read from a message, and what rules say of it."""

import pytest

from navigation import InputError, Question, Status, initial_messages, read_outcome
from navigation.answer_text import match, normal, read_text
from navigation.prompt import system_prompt


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<answer>red</answer>", "red"),
        ("So it is.\n<answer> a red hat </answer>", "a red hat"),
        ("<answer>red</answer> no: <ANSWER>blue</ANSWER>", "blue"),
        ("<think><answer>red</answer></think>blue", "blue"),
        ("blue", "blue"),
        ("<answer></answer>", None),
        ("<answer>red", None),
        ("<think>blue", None),
        ("", None),
        ('<tool_call>{"name": "get_caption"}</tool_call>', None),
        ("<answer>A</answer>", "A"),
    ],
)
def test_the_last_tag_or_the_whole_message_is_the_answer(content, text):
    assert read_text(content) == text


def test_a_message_that_was_cut_answers_by_its_tag_alone():
    said = [{"role": "assistant", "content": "It may be a red"}]
    assert read_outcome(said, 0, truncated=True) == (Status.OUT_OF_TOKENS, None)
    assert read_outcome(said, 0, truncated=False) == (Status.ANSWERED, "It may be a red")
    tagged = [{"role": "assistant", "content": "<answer>red</answer> and"}]
    assert read_outcome(tagged, 0, truncated=True) == (Status.ANSWERED, "red")


@pytest.mark.parametrize(
    ("answer", "references", "right", "rule"),
    [
        ("The Red Hat.", ["red hat"], True, "exact"),
        ("“red  hat”", ["a red hat"], True, "exact"),
        ("Ｒｅｄ", ["red"], True, "exact"),
        ("blue", ["red", "Blue!"], True, "exact"),
        ("three", ["3"], True, "number"),
        ("3.0", ["three"], True, "number"),
        ("3.5", ["35"], False, "number"),
        ("-5", ["5"], False, "number"),
        ("1,200 m", ["1.2 km"], True, "number"),
        ("twenty-five", ["25"], True, "number"),
        ("a hundred", ["5"], None, None),
        ("two hundred", ["200"], True, "number"),
        ("3 cups", ["3"], True, "number"),
        ("3 cups", ["3 mugs"], None, None),
        ("3 kg", ["3 g"], False, "number"),
        ("3 kg", ["3 m"], False, "number"),
        ("3.1", ["3.14"], None, None),
        ("$5", ["5 dollars"], True, "number"),
        ("40%", ["40 percent"], True, "number"),
        ("80 seconds", ["1:20"], True, "time"),
        ("1 min 20 s", ["0:01:20"], True, "time"),
        ("1:02", ["1:20"], False, "time"),
        ("80", ["1:20"], None, None),
        ("2:11-2:39", ["2:10-2:40"], True, "time"),
        ("from 12:10 to 12:40", ["2:10-2:40"], False, "time"),
        ("at 2:20", ["2:10-2:40"], None, None),
        ("Yes, he does", ["yes"], True, "yes_no"),
        ("no", ["Yes."], False, "yes_no"),
        ("yes and no", ["yes"], None, None),
        ("not red", ["red"], None, None),
        ("red or blue", ["red"], None, None),
        ("about three", ["3"], None, None),
        ("3 or 4", ["3"], None, None),
        ("4", ["3", "a few"], None, None),
        ("4", ["3", "five"], False, "number"),
        ("", ["red"], None, None),
        ("?!", ["..."], None, None),
    ],
)
def test_rules_decide_what_is_certain(answer, references, right, rule):
    found = match(answer, references)
    assert found == (None if right is None else (right, rule))


def test_signs_inside_a_number_stay():
    assert normal("It is 3.5, at 1:20!") == "it is 3.5 at 1:20"
    assert normal("A") == "a"


@pytest.mark.parametrize("text", ["9" * 20_000, "(" * 20_000, "one " * 5000, "<answer>" * 2500, "1:" * 9000])
def test_long_texts_are_read_in_time(text):
    read_text(text)
    match(text, ["3", "1:20", "yes", "red"])


ROW = {"id": "q", "video_id": "v", "question": "What colour?", "duration": 10.0, "references": ["red"]}


def test_an_open_question_goes_through_its_record():
    question = Question.from_dict(ROW)
    assert question.is_open
    assert question.chance == 0
    assert question.accepted == ("red",)
    assert Question.from_dict(question.to_dict()) == question
    assert Question.from_dict({**ROW, "options": [], "answer": ""}) == question
    assert question.is_right("Red.")
    assert not question.is_right("blue")
    assert not question.is_right(None)


def test_one_with_both_is_asked_with_its_options():
    question = Question.from_dict({**ROW, "options": ["red", "blue"], "answer": "A"})
    assert not question.is_open
    assert question.accepted == ("red",)
    assert question.to_dict()["references"] == ["red"]
    assert question.is_right("A")
    assert not question.is_right("red")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"references": []}, "options"),
        ({"references": "red"}, "references"),
        ({"references": [" "]}, "references"),
        ({"references": [3]}, "references"),
        ({"answer": "A"}, "answer"),
        ({"options": ["red"], "answer": "A"}, "options"),
        ({"options": ["red", "blue"]}, "answer"),
    ],
)
def test_what_cannot_be_asked_is_refused(more, field):
    with pytest.raises(InputError) as error:
        Question.from_dict({**ROW, **more})
    assert error.value.field == field


def test_its_prompt_speaks_of_no_letters():
    from navigation import CaptionTree, TimeGrid

    grid = TimeGrid(10.0, 2, 1)
    tree = CaptionTree("v", grid, dict.fromkeys(grid.paths(), "a hat"))
    system, asked = initial_messages(Question.from_dict(ROW), tree)
    assert system["content"] == system_prompt(is_open=True)
    assert "LETTER" not in system["content"]
    assert "multiple-choice" not in system["content"]
    assert asked["content"].endswith("\n\nQuestion: What colour?")
