"""Questions in words: every corpus's open form, and rows that are open by nature."""

import json

import pytest

from data_gen.corpora import Corpus, load_corpus, write_corpus
from data_gen.corpora.corpus import opened
from data_gen.sets import SetSettings, export_sets
from data_gen.traces import write_traces
from navigation import InputError, Question, read_questions, read_trajectories


def question(text, right, **more):
    return Question("c/1", "v", text, (right, "something else"), "A", ((0.0, 1.0),), 10.0, "c", "k", **more)


def test_the_right_option_is_the_reference_and_options_are_withheld():
    plain, mixed = question("What colour?", "Red"), question("How many?", "3", references=("three",))
    found = opened(Corpus("c", [plain, mixed])).questions
    assert [(each.id, each.options, each.answer, each.references) for each in found] == [
        ("c/1/open", (), "", ("Red",)), ("c/1/open", (), "", ("three",)),
    ]  # fmt: skip
    assert found[0].clue_intervals == plain.clue_intervals


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Which of these is a part of “cooking”?", "frying"),
        ("Which of the following is shown?", "a cat"),
        ("Which option is correct?", "a cat"),
        ("What is shown?", "All of the above"),
        ("What is shown?", "None of these"),
        ("What is shown?", "Both A and B"),
        ("In which order?", "②③①"),
        ("In which order?", "2->3->1"),
        ("What is said?", "It is not mentioned"),
    ],
)
def test_what_speaks_of_options_is_left_out_with_the_reason(text, right):
    corpus = opened(Corpus("c", [question(text, right)]))
    assert corpus.questions == []
    assert len(corpus.skipped) == 1


@pytest.mark.parametrize("text", ["What follows the rain?", "Why is he not afraid?", "What is above the door?"])
def test_what_only_sounds_like_it_is_kept(text):
    assert len(opened(Corpus("c", [question(text, "a cat")])).questions) == 1


def test_the_small_world_in_words_is_taught_and_exported(tmp_path):
    stats = write_traces("small_world", None, tmp_path / "traces", limit=30, open_form=True)
    assert stats["questions_by_answer"] == {"in words": 30}
    questions = {each.id: each for each in read_questions(tmp_path / "traces/questions.jsonl")}
    trajectories = list(read_trajectories(tmp_path / "traces/trajectories.jsonl"))
    assert all(each.correct and each.prediction in questions[each.question_id].references for each in trajectories)
    assert all("letter" not in json.dumps(each.messages).lower() for each in trajectories)
    report = export_sets(tmp_path / "traces", tmp_path / "sets", SetSettings(held_out_share=0.3))
    assert report.sft.total() == 30
    rows = [json.loads(line) for line in (tmp_path / "sets/rl/train.jsonl").read_text().splitlines()]
    assert all(row["references"] and not row["options"] for row in rows)
    assert Question.from_dict(rows[0]).is_open


def test_a_folder_keeps_its_options_where_it_is_written_into(tmp_path):
    write_traces("small_world", None, tmp_path, limit=4)
    with pytest.raises(InputError) as error:
        write_traces(None, tmp_path, tmp_path, open_form=True)
    assert error.value.field == "open_form"


def test_mlvus_tasks_in_words_load_where_they_stand_alone(tmp_path):
    row = {
        "video": "a.mp4",
        "duration": 100.0,
        "question": "What happens?",
        "answer": "He cooks.",
        "question_type": "summary",
    }
    (tmp_path / "9_summary.json").write_text(json.dumps([row]))
    corpus = load_corpus("mlvu", tmp_path)
    assert [each.references for each in corpus.questions] == [("He cooks.",)]
    assert opened(corpus).questions == corpus.questions
    write_corpus(corpus, tmp_path / "out")
    assert [each.is_open for each in read_questions(tmp_path / "out/questions.jsonl")] == [True]
    closed = {**row, "candidates": ["He cooks.", "He sings."], "question_type": "plotQA"}
    (tmp_path / "1_plotQA.json").write_text(json.dumps([closed]))
    assert [each.is_open for each in load_corpus("mlvu", tmp_path).questions] == [False]
