"""Benchmarks as they are downloaded: what becomes of each field, and the traps in their files."""

import json

import pytest

from data_gen.corpora import load_corpus
from navigation import InputError


def test_lvbench_options_come_out_of_the_question_and_times_become_seconds(small):
    first, second, third = load_corpus("lvbench", small("lvbench")).questions[:3]
    assert (first.id, first.video_id, first.question) == ("lvbench/0", "film0", "What year appears?")
    assert (first.options, first.answer) == (("1636", "1366", "1363"), "B")
    assert first.kind == "key information retrieval|reasoning"
    assert first.clue_intervals == ((15.0, 19.0),)
    assert second.clue_intervals == ((5390.0, 5410.0),)
    assert third.clue_intervals == ()
    # 90 minutes are 5,400 s: the reference that passes them makes the video longer, for all its questions.
    assert {each.duration for each in (first, second, third)} == {5410.0}


@pytest.mark.parametrize(
    ("reference", "clues"),
    [
        ("02:05", ((125.0, 126.0),)),
        ("1:00:00-1:00:02", ((3600.0, 3602.0),)),
        ("75:10–75:20", ((4510.0, 4520.0),)),
        ("00:19-00:15", ()),
        ("near the end", ()),
        (None, ()),
    ],
)
def test_lvbench_references_in_every_form(reference, clues, small):
    def change(rows):
        rows[0]["qa"][0]["time_reference"] = reference

    assert load_corpus("lvbench", small("lvbench", change)).questions[0].clue_intervals == clues


def test_lvbench_broken_line_is_named(small):
    folder = small("lvbench")
    with open(folder / "video_info.meta.jsonl", "a") as file:
        file.write("{")
    with pytest.raises(InputError) as error:
        load_corpus("lvbench", folder)
    assert error.value.source == f"{folder / 'video_info.meta.jsonl'}:3"


def test_videomme_letters_leave_the_options_and_every_category_is_a_label(small):
    question = load_corpus("videomme", small("videomme")).questions[2]
    assert question.options == ("One.", "Two.", "Three.", "None.")
    assert (question.answer, question.video_id, question.duration) == ("C", "yt2", 3600.0)
    assert question.kind.split("|") == [
        "Counting Problem", "length: long", "domain: Knowledge", "sub-category: Astronomy"
    ]  # fmt: skip


def test_videomme_options_without_their_letters_stay_as_they_are(small):
    def change(rows):
        rows[0]["options"] = ["A. One.", "Two.", "C. Three.", "D. None."]
        rows[1]["options"] = ["B. One.", "A. Two.", "C. Three.", "D. None."]

    first, second = load_corpus("videomme", small("videomme", change)).questions[:2]
    assert first.options == ("A. One.", "Two.", "C. Three.", "D. None.")
    assert second.options == ("B. One.", "A. Two.", "C. Three.", "D. None.")


def test_videomme_needs_its_columns_and_a_whole_file(small):
    folder = small("videomme", lambda rows: [row.pop("task_type") for row in rows])
    with pytest.raises(InputError) as error:
        load_corpus("videomme", folder)
    assert error.value.field == "columns"
    assert error.value.value == ["task_type"]
    path = folder / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError) as error:
        load_corpus("videomme", folder)
    assert error.value.source == str(path)


def test_mlvu_dev_as_parquet_answers_by_text_and_has_no_durations(tmp_path):
    import pyarrow
    from pyarrow import parquet

    rows = [
        {"video_name": "a.mp4", "question": "Who?", "candidates": ["He", "She"], "answer": "She", "task_type": "count"},
        {"video_name": "b.mp4", "question": "Who?", "candidates": ["A", "B"], "answer": "B", "task_type": "order"},
        {"video_name": "c.mp4", "question": "Who?", "candidates": ["x", "y"], "answer": "(A)", "task_type": "order"},
        {"video_name": "d.mp4", "question": "Who?", "candidates": ["x", "y"], "answer": "It", "task_type": "order"},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "mlvu_dev.parquet")
    corpus = load_corpus("mlvu", tmp_path)
    found = [(each.video_id, each.answer, each.kind) for each in corpus.questions]
    assert found == [("a", "B", "count"), ("b", "B", "order"), ("c", "A", "order")]
    assert corpus.skipped_by_reason == {"answer not among the options": 1}


def test_mlvu_test_keeps_its_ids_and_is_not_mixed_with_dev(small, corpora, tmp_path):
    rows = [row | {"question_id": f"TM_{number}"} for number, row in enumerate(corpora.document("mlvu"))]
    (tmp_path / "test_mcq_gt.json").write_text(json.dumps(rows))
    corpus = load_corpus("mlvu", tmp_path)
    assert [each.id for each in corpus.questions] == [f"mlvu/TM_{number}" for number in range(4)]
    folder = small("mlvu")
    (folder / "test_mcq_gt.json").write_text(json.dumps(rows))
    with pytest.raises(InputError) as error:
        load_corpus("mlvu", folder)
    assert error.value.field == "folder"
    assert len(load_corpus("mlvu", folder / "1_plotQA.json").questions) == 4
