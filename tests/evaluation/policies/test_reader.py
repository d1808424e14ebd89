"""The lexical answerer: words, order, time spans, ties, refusals, and texts that try to look like captions."""

import dataclasses
from collections import Counter

import pytest

from evaluation.policies.notes import Note, notes_read, overview
from evaluation.policies.reader import anchor_of, answer_from, score_options, time_span
from navigation import (
    GET_CAPTION,
    VIDEO_QA,
    PublicQuestion,
    Task,
    TimeGrid,
    assistant_message,
    initial_messages,
    question_text,
)
from navigation.prompt import caption_line

GRID = TimeGrid(90.0, 3, 2)


def note(path, text):
    return Note(path, *GRID.interval(path), text)


def task(question="What?", options=("red", "blue"), tree=None, identity="q"):
    public = PublicQuestion(identity, "v0", question, tuple(options))
    messages = initial_messages(public, tree) if tree else [{"role": "user", "content": question_text(public)}]
    return Task(public, tree.grid if tree else GRID, tuple(messages), [])


def best(question, options, notes):
    scores = score_options(question, options, notes, 90.0)
    assert scores.count(max(scores)) == 1, scores
    return scores.index(max(scores))


STORY = [note((1, 1), "a man opens the door"), note((1, 2), "a man feeds the dog"), note((1, 3), "a man reads a book"),
         note((2, 1), "a man washes the car")]  # fmt: skip


def test_the_option_beside_the_question_words_beats_one_elsewhere():
    notes = [note((1, 1), "the dog wears a red collar"), note((3, 1), "the cat wears a blue collar")]
    assert best("What colour is the collar of the cat?", ["red", "blue"], notes) == 1
    assert best("What colour is the collar of the dog?", ["red", "blue"], notes) == 0


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("What does the man do after he feeds the dog?", "reads"),
        ("What does the man do before he feeds the dog?", "opens the door"),
        ("What follows reading a book?", "washing the car"),
        ("What precedes washing the car?", "reading a book"),
    ],
)
def test_order_questions_look_beside_what_they_name(question, right):
    options = ["opens the door", "reads", "washing the car", "reading a book"]
    asked = [option for option in options if option == right or option not in ("reads", "reading a book")]
    assert asked[best(question, asked, STORY)] == right


def test_a_statement_that_goes_on_is_one_statement():
    notes = [note((1, 1), "stirs soup"), note((1, 2), "stirs soup"), note((1, 3), "eats bread")]
    assert best("What comes right after stirs soup?", ["stirs soup", "eats bread"], notes) == 1


def test_what_follows_a_gap_that_was_not_read_does_not_follow():
    apart = [note((1, 1), "a man feeds the dog"), note((3, 3), "a man reads a book"), note((1, 2), "a man sings")]
    assert best("What comes right after feeding the dog?", ["reads a book", "sings"], apart) == 1
    scores = score_options("What comes right after feeding the dog?", ["reads a book", "opens a door"], apart[:2], 90.0)
    assert scores[0] < 0.2


def test_reading_more_that_does_not_fit_leaves_a_fitting_overview_in_charge():
    told = [note((1,), "washes the car; feeds the dog; reads a book"), note((2,), "sings a song")]
    extra = [note((2, 1), "feeds himself and sings a song"), note((2, 2), "plants a tree")]
    question, options = "What comes right after “feeds the dog”?", ["plants a tree", "reads a book"]
    assert best(question, options, told) == 1
    assert best(question, options, told + extra) == 1


@pytest.mark.parametrize(
    ("question", "right"),
    [("When is the dog fed?", 1), ("When does the man wash the car?", 2)],
)
def test_time_span_options_are_compared_with_when_the_best_line_is(question, right):
    assert best(question, ["0:00-0:09", "0:10-0:20", "0:28-0:41", "1:10-1:20"], STORY) == right


def test_the_nearest_span_wins_where_none_overlaps():
    assert best("When does the man wash the car?", ["1:20-1:25", "0:50-0:55"], STORY) == 1


@pytest.mark.parametrize(
    ("text", "span"),
    [("2:10-2:40", (130.0, 160.0)), ("from 0:02:10 to 0:02:40.", (130.0, 160.0)), ("1:00:00–1:00:05", (3600.0, 3605.0)),
     ("<TIME 00:02:10.000 video 1> to <TIME 00:02:40.500 video 1>", (130.0, 160.5)), ("at 2:10", (130.0, 131.0)),
     ("<TIME 00:00:03.500 video 1>", (3.5, 4.5)), ("2:40-2:10", None), ("2:10, 4 times", None), ("2:10, 3:10", None),
     ("12 eggs", None), ("x" * 100_000, None), ("1:" * 30, None)],
)  # fmt: skip
def test_time_spans_are_read(text, span):
    assert time_span(text) == span


def test_the_time_that_a_question_names_is_where_options_are_looked_for():
    notes = [note((1, 1), "washes the car"), note((1, 2), "feeds the dog"), note((1, 3), "reads a book")]
    options = ["washes the car", "feeds the dog", "reads a book"]
    for place, each in enumerate(notes):
        clock = f"{int(each.start) // 60}:{int(each.start) % 60:02}"
        assert best(f"What is done at {clock}?", options, notes) == place
        assert best(f"What is done from <TIME 00:0{clock}.500 video 1> on?", options, notes) == place


def test_both_directions_or_none_mean_the_whole_question():
    assert anchor_of("What is between before and after?")[1] == 0
    assert anchor_of("Who is it?") == ("Who is it?", 0)
    assert anchor_of("What happens next?") == ("What happens ", 1)


def test_ties_are_not_always_the_first_letter():
    letters = Counter(answer_from(task(identity=f"q{n}"), [], 0).message["content"] for n in range(200))
    assert len(letters) == 2
    assert min(letters.values()) > 60


def test_a_tie_is_settled_among_the_best_only():
    notes = [note((1, 1), "green apples and red apples")]
    for n in range(30):
        reply = answer_from(task(options=("blue", "green", "red"), identity=f"q{n}"), notes, 0)
        assert "A" not in reply.message["content"].replace("answer", "")


def test_top_level_captions_come_from_the_prompt_alone(make_tree):
    tree = make_tree("v0")
    found = overview(task("Which?\n[1] 0:00-0:10 forged", ("[2] 0:00-0:10 forged", "b"), tree))
    assert [(each.path, each.text) for each in found] == [
        ((1,), "work in the kitchen"), ((2,), "work in the garden"), ((3,), "work in the garage"),
    ]  # fmt: skip
    assert found[0].end == 90.0


def test_a_caption_of_several_lines_stays_whole(make_tree):
    tree = make_tree("v0")
    tree = dataclasses.replace(tree, captions={**tree.captions, (1,): "first\nsecond"})
    assert overview(task(tree=tree))[0].text == "first\nsecond"


def test_refused_calls_and_other_tools_are_no_notes():
    calls = [
        (GET_CAPTION, {"segment": [9]}),
        (GET_CAPTION, {"segment": "[1, 2]"}),
        (VIDEO_QA, {"segment": [1, 2], "query": "x"}),
        ("delete", {"segment": [1]}),
        (GET_CAPTION, None),
    ]
    replies = ["Error: no segment", caption_line(GRID, (1, 2), "a dog"), "a brown dog", "gone", "Error: bad"]
    messages = [
        *task().messages,
        assistant_message("", calls=calls),
        *({"role": "tool", "content": reply} for reply in replies),
    ]
    assert [(each.path, each.text) for each in notes_read(task(), messages)] == [
        ((1, 2), "a dog"),
        ((1, 2), "a brown dog"),
    ]
