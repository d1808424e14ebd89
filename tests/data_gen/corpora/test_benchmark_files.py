"""Benchmarks as they are downloaded: what becomes of each field, and the traps in their files."""

import json
from pathlib import Path

import pytest

from data_gen.corpora import load_corpus
from longvideo_r1.rows import import_released_rl
from navigation import InputError, Question, SkippedRow


def test_lvbench_options_come_out_of_the_question_and_times_become_seconds(small):
    first, second, third = load_corpus("lvbench", small("lvbench")).questions[:3]
    assert (first.id, first.video_id, first.question) == ("lvbench/0", "film0", "What year appears?")
    assert (first.options, first.answer) == (("1636", "1366", "1363"), "B")
    assert first.kind == "key information retrieval|reasoning"
    assert first.clue_intervals == ((15.0, 19.0),)
    assert second.clue_intervals == ((5390.0, 5398.0),)
    assert third.clue_intervals == ()
    assert {each.duration for each in (first, second, third)} == {5400.0}


PAST, CUT, UNREAD = (
    "time reference past the video's end", "time reference cut at the video's end", "unreadable time reference",
)  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "clues", "reason"),
    [
        ("02:05", ((125.0, 126.0),), None),
        ("1:00:00-1:00:02", ((3600.0, 3602.0),), None),
        ("75:10–75:20", ((4510.0, 4520.0),), None),
        ("00:15 - 00:19", ((15.0, 19.0),), None),
        ("01:00-01:05, 00:15-00:19", ((15.0, 19.0), (60.0, 65.0)), None),
        ("00:15-00:19; 01:00-01:05", ((15.0, 19.0), (60.0, 65.0)), None),
        ("00:15-00:19\n01:00-01:05", ((15.0, 19.0), (60.0, 65.0)), None),
        ("00：15～00：19", ((15.0, 19.0),), None),
        (" ", (), None),
        (None, (), None),
        ("00:19-00:15", (), UNREAD),
        ("00:15-00:15", (), UNREAD),
        ("1:75:00-1:76:00", (), UNREAD),
        ("00:75-00:80", (), UNREAD),
        ("00:15-00:19, near the end", (), UNREAD),
        ("near the end", (), UNREAD),
        ("15-19", (), UNREAD),
        (15, (), "wrong type"),
        ("1:29:50-1:30:10", ((5390.0, 5400.0),), CUT),
        ("1:29:50-1:32:00", (), PAST),
        ("1:30:00-1:30:10", (), PAST),
        ("2:15:00-2:16:00", (), PAST),
    ],
)
def test_lvbench_references_in_every_form(reference, clues, reason, small):
    def change(rows):
        rows[0]["qa"][0]["time_reference"] = reference

    corpus = load_corpus("lvbench", small("lvbench", change))
    assert corpus.questions[0].clue_intervals == clues
    assert corpus.skipped_by_reason == ({reason: 1} if reason else {})
    # The row is kept, and its reference changes no duration.
    assert len(corpus.questions) == 6
    assert {question.duration for question in corpus.questions} == {5400.0}


CASES = Path(__file__).parents[4] / "shared" / "cases" / "rows" / "lvbench_references.tsv"


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not there")
def test_lvbench_cases(small):
    for line in CASES.read_text(encoding="utf-8").splitlines():
        reference, _, right = line.partition("\t")

        def change(rows, reference=reference):
            rows[0]["qa"][0]["time_reference"] = reference

        corpus = load_corpus("lvbench", small("lvbench", change))
        clues = ", ".join(f"{begin:.0f}-{end:.0f}" for begin, end in corpus.questions[0].clue_intervals)
        assert clues == ("" if right in ("listed", "no clue") else right), reference
        assert len(corpus.skipped) == (right == "listed"), reference


EQUAL = {
    "cgbench": lambda rows, place: rows[0]["choices"].__setitem__(place, rows[0]["choices"][place - 1]),
    "mlvu": lambda rows, place: rows[0]["candidates"].__setitem__(place, rows[0]["candidates"][place - 1]),
    "lvbench": lambda rows, place: rows[0]["qa"][0].update(
        question="What?" + "".join(f"\n({letter}) {text}" for letter, text in zip("ABCD", TWICE[place], strict=True))
    ),
    "videomme": lambda rows, place: rows[0].update(
        options=[f"{letter}. {text}" for letter, text in zip("ABCD", TWICE[place], strict=True)], answer="B"
    ),
    "nextgqa": lambda document, place: document["rows"][0].update({f"a{place}": document["rows"][0][f"a{place - 1}"]}),
}
TWICE = {2: ("one", "two", "two", "four"), 3: ("one", "two", "three", "three")}
"""B is right: once it stands twice, once a wrong option does."""


@pytest.mark.parametrize("corpus", EQUAL)
def test_one_rule_for_equal_options_in_every_loader(corpus, small):
    sound = len(load_corpus(corpus, small(corpus)).questions)
    right_twice = load_corpus(corpus, small(corpus, lambda document: EQUAL[corpus](document, 2)))
    assert right_twice.skipped_by_reason == {"answer fits two options": 1}
    assert len(right_twice.questions) == sound - 1
    wrong_twice = load_corpus(corpus, small(corpus, lambda document: EQUAL[corpus](document, 3)))
    assert wrong_twice.skipped == []
    assert len(wrong_twice.questions) == sound


def test_the_rule_for_equal_options_holds_for_letters_and_for_released_rows(small):
    def change(rows):
        rows[0].update(candidates=["x", "y", "y", "z"], answer="(B)")

    assert load_corpus("mlvu", small("mlvu", change)).skipped_by_reason == {"answer fits two options": 1}
    row = {"question": "Which?", "right_answer": "B", "video_uid": "v", "duration": 9.0}
    (twice,) = import_released_rl([row | {"choices": ["x", "y", "y"]}])
    assert isinstance(twice, SkippedRow)
    (kept,) = import_released_rl([row | {"choices": ["x", "y", "z", "z"]}])
    assert isinstance(kept, Question)


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
