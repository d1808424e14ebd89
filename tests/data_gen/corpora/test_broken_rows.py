"""Broken rows: skipped, counted by reason and listed, never a crash."""

import copy
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_gen.corpora import load_corpus, write_corpus
from navigation import InputError, Question, read_questions

BAD = {
    "null": None, "list": [], "object": {}, "blank": " ", "text": "x", "true": True, "nan": float("nan"),
    "infinite": float("inf"), "negative": -5.0, "huge": 10**400, "surrogate": "\ud800", "deep": [[[[[[]]]]]],
}  # fmt: skip


def put(document, path, value):
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def drop(document, path):
    for key in path[:-1]:
        document = document[key]
    del document[path[-1]]


# corpus, path of the broken place, value, reason
BROKEN = [
    ("cgbench", [1], "row", "not an object"),
    ("cgbench", [1, "qid"], 0, "duplicate id"),
    ("cgbench", [1, "qid"], 1.5, "wrong type"),
    ("cgbench", [1, "question"], " ", "empty text"),
    ("cgbench", [1, "question"], "\ud800", "text is not valid Unicode"),
    ("cgbench", [1, "right_answer"], "F", "answer not among the options"),
    ("cgbench", [1, "right_answer"], "b", "answer not among the options"),
    ("cgbench", [1, "right_answer"], "A", "letter and answer text differ"),
    ("cgbench", [1, "answer"], "Pink", "letter and answer text differ"),
    ("cgbench", [1, "choices"], ["Red"], "too few or too many options"),
    ("cgbench", [1, "choices", 0], "Red", "answer fits two options"),
    ("cgbench", [1, "choices", 0], 3, "wrong type"),
    ("cgbench", [1, "duration"], 0, "duration below one second"),
    ("cgbench", [1, "duration"], 10**400, "wrong type"),
    ("cgbench", [1, "clue_intervals"], [], "no clue interval"),
    ("cgbench", [1, "clue_intervals"], [[690, 702]], "span outside the video"),
    ("cgbench", [1, "clue_intervals"], [[8, 7]], "span is empty or backwards"),
    ("cgbench", [1, "clue_intervals"], [[1, 2, 3]], "wrong type"),
    ("cgbench", [1, "clue_intervals"], [[float("nan"), 3]], "wrong type"),
    ("mlvu", [1, "answer"], "Nobody", "answer not among the options"),
    ("mlvu", [1, "candidates"], "He She", "wrong type"),
    ("mlvu", [1, "video"], "movie_0.mp4", "duplicate id"),
    ("mlvu", [1, "video"], ".mp4", "empty text"),
    ("mlvu", [1, "duration"], "long", "wrong type"),
    ("lvbench", [1], 3, "not an object"),
    ("lvbench", [1, "key"], "film0", "duplicate id"),
    ("lvbench", [1, "video_info"], None, "not an object"),
    ("lvbench", [1, "video_info", "duration_minutes"], "long", "wrong type"),
    ("lvbench", [1, "qa"], "none", "wrong type"),
    ("lvbench", [1, "qa", 0], [], "not an object"),
    ("lvbench", [1, "qa", 0, "uid"], "0", "duplicate id"),
    ("lvbench", [1, "qa", 0, "question"], "What?\n(A) one", "too few or too many options"),
    ("lvbench", [1, "qa", 0, "question"], "What?\n(A) one\n(C) two", "options out of order"),
    ("lvbench", [1, "qa", 0, "question"], "\n(A) one\n(B) two", "empty text"),
    ("lvbench", [1, "qa", 0, "answer"], "D", "answer not among the options"),
    ("lvbench", [1, "qa", 0, "question_type"], [3], "wrong type"),
    ("videomme", [1, "duration"], "endless", "unknown length"),
    ("videomme", [1, "question_id"], "000-1", "duplicate id"),
    ("videomme", [1, "answer"], "E", "answer not among the options"),
    ("videomme", [1, "options"], ["A. One."], "too few or too many options"),
    ("videomme", [1, "question"], None, "wrong type"),
    ("goalstep", ["videos", 1], 3, "not an object"),
    ("goalstep", ["videos", 1, "video_uid"], "first", "duplicate id"),
    ("goalstep", ["videos", 1, "end_time"], None, "wrong type"),
    ("goalstep", ["videos", 1, "segments"], [], "no annotated steps"),
    ("goalstep", ["videos", 1, "segments", 2], [], "not an object"),
    ("goalstep", ["videos", 1, "segments", 2, "start_time"], 400, "span is empty or backwards"),
    ("goalstep", ["videos", 1, "segments", 2, "end_time"], 400, "span outside the video"),
    ("goalstep", ["videos", 1, "segments", 2, "step_description"], ".", "empty text"),
    ("goalstep", ["videos", 1, "segments", 0, "segments", 1, "end_time"], "x", "wrong type"),
    ("goalstep", ["videos", 1, "segments", 0, "summary"], [3], "wrong type"),
    ("hirest", ["Make soup"], None, "not an object"),
    ("hirest", ["Make soup", "two.mp4"], None, "not an object"),
    ("hirest", ["Make soup", "two.mp4", "v_duration"], "x", "wrong type"),
    ("hirest", ["Make soup", "two.mp4", "bounds"], [0, 0], "span is empty or backwards"),
    ("hirest", ["Make soup", "two.mp4", "steps"], [], "no annotated steps"),
    ("hirest", ["Make soup", "two.mp4", "steps", 0, "absolute_bounds"], [3], "wrong type"),
    ("hirest", ["Make soup", "two.mp4", "steps", 0, "absolute_bounds"], [3, 300], "span outside the video"),
    ("nextgqa", ["rows", 1, "qid"], "0", "duplicate id"),
    ("nextgqa", ["rows", 1, "answer"], "to fly", "answer not among the options"),
    ("nextgqa", ["rows", 1, "a0"], "to win", "answer fits two options"),
    ("nextgqa", ["rows", 1, "type"], "ZZ", "unknown question type"),
    ("nextgqa", ["rows", 1, "video_id"], "33", "video without grounding"),
    ("nextgqa", ["rows", 1, "question"], "", "empty text"),
    ("nextgqa", ["rows", 1], "one field", "missing key"),
    ("nextgqa", ["gsub", "11", "location", "1"], [[3, 25]], "span outside the video"),
    ("nextgqa", ["gsub", "11", "location"], {"0": [[1, 2]]}, "no clue interval"),
    ("nextgqa", ["gsub", "11", "duration"], "20", "wrong type"),
    ("nextgqa", ["captions", "11"], {}, "no captions for its video"),
    ("nextgqa", ["captions", "11", "3"], None, "wrong type"),
    ("nextgqa", ["captions", "11", "third"], "text", "wrong type"),
    ("nextgqa", ["captions", "11", "20"], "late", "caption past the video's end"),
]


@pytest.mark.parametrize(("corpus", "path", "value", "reason"), BROKEN)
def test_a_broken_row_is_skipped_for_its_reason(corpus, path, value, reason, small):
    sound = load_corpus(corpus, small(corpus))
    assert sound.skipped == []
    broken = load_corpus(corpus, small(corpus, lambda document: put(document, path, value)))
    assert reason in broken.skipped_by_reason
    assert all(row.id and row.reason for row in broken.skipped)
    # What the broken place does not touch is as it was.
    if corpus in ("cgbench", "mlvu"):
        assert [question.id for question in broken.questions] == [
            question.id for number, question in enumerate(sound.questions) if number != 1
        ]
    elif corpus == "goalstep" and len(path) > 1:
        untouched = [question for question in sound.questions if question.video_id == "first"]
        assert [question for question in broken.questions if question.video_id == "first"] == untouched
    assert sum(broken.skipped_by_reason.values()) == len(broken.skipped)


@pytest.mark.parametrize("corpus", ["cgbench", "mlvu"])
@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
def test_every_row_is_a_question_or_is_listed(corpus, value, corpora, small):
    for key in [key for key in corpora.document(corpus)[1] if key not in ("domain", "sub_category", "question_type")]:
        found = load_corpus(corpus, small(corpus, lambda document, key=key: put(document, [1, key], value)))
        assert len(found.questions) + len(found.skipped) == 4
        found = load_corpus(corpus, small(corpus, lambda document, key=key: drop(document, [1, key])))
        assert found.skipped_by_reason == {"missing key": 1}


def test_rounding_past_the_end_is_clipped_not_skipped(small):
    corpus = load_corpus("cgbench", small("cgbench", lambda rows: put(rows, [1, "clue_intervals"], [[690, 700.9]])))
    assert corpus.skipped == []
    assert corpus.questions[1].clue_intervals == ((690.0, 700.0),)


def test_a_key_given_twice_is_listed(small):
    folder = small("cgbench")
    path = folder / "cgbench_mini.json"
    path.write_text(path.read_text().replace('"qid": 2', '"qid": 2, "qid": 9'))
    corpus = load_corpus("cgbench", folder)
    assert corpus.skipped_by_reason == {"duplicate key": 1}
    assert [question.id for question in corpus.questions] == [f"cgbench/{n}" for n in range(4)]


def test_captions_past_the_end_and_of_unknown_videos_are_counted(small):
    def spoil(document):
        put(document, ["captions", "11", "25"], "late")
        put(document, ["captions", "11", "20"], "late")
        put(document, ["captions", "99"], {"0": "nobody asks"})

    late, unknown = load_corpus("nextgqa", small("nextgqa", spoil)).skipped
    assert (late.reason, late.detail[:13]) == ("caption past the video's end", "2 captions, f")
    assert (unknown.id, unknown.reason) == ("nextgqa/99", "captions of a video that no question is about")


def test_the_first_of_two_rows_with_one_id_is_kept_unless_it_is_broken(small):
    def twice(rows):
        rows[1]["qid"] = 0
        rows[0]["answer"] = None

    corpus = load_corpus("cgbench", small("cgbench", twice))
    assert corpus.skipped_by_reason == {"wrong type": 1}
    assert "cgbench/0" in {question.id for question in corpus.questions}


def test_a_damaged_line_of_the_table_costs_its_own_row(small):
    folder = small("nextgqa")
    lines = (folder / "val.csv").read_bytes().splitlines(keepends=True)
    lines[1] = b"\xff\xfe" + lines[1]
    lines[2] = b'"' + b"x" * 200_000 + b'",' + lines[2]
    (folder / "val.csv").write_bytes(b"".join(lines))
    corpus = load_corpus("nextgqa", folder)
    assert {"text is not valid Unicode": 1, "unreadable line": 1}.items() <= corpus.skipped_by_reason.items()
    assert [question.video_id for question in corpus.questions] == ["22", "22"]


def places(document, path=()):
    """Every path below the root of a JSON document."""
    entries = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in entries:
        yield (*path, key)
        yield from places(value, (*path, key))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(list(BAD.values())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("corpus", ["goalstep", "nextgqa", "hirest", "cgbench", "mlvu", "lvbench"])
def test_no_json_shape_crashes_a_loader(corpus, corpora, data):
    document = corpora.document(corpus)
    for _ in range(data.draw(st.integers(1, 3))):
        spots = [path for path in places(document) if corpus != "nextgqa" or len(path) > 1]
        if not spots:
            break
        path = data.draw(st.sampled_from(spots))
        if data.draw(st.booleans()):
            # A copy: a later change must not reach into the strategy's own values.
            put(document, path, copy.deepcopy(data.draw(JSON)))
        else:
            drop(document, path)
    with tempfile.TemporaryDirectory() as folder:
        source = corpora.write(corpus, document, Path(folder) / "in")
        no_corpus = corpus == "goalstep" and not isinstance(document.get("videos"), list)
        if no_corpus or (corpus == "lvbench" and not document):
            # The frame itself is broken: this is no corpus at all.
            with pytest.raises(InputError) as error:
                load_corpus(corpus, source)
            assert error.value.source == str(next(source.iterdir()))
            return
        found = load_corpus(corpus, source)
        stats = write_corpus(found, Path(folder) / "out")
        assert stats["questions"] == len(list(read_questions(Path(folder) / "out/questions.jsonl")))
        listed = (Path(folder) / "out/skipped.jsonl").read_text().splitlines()
        assert len(listed) == len(found.skipped) == sum(stats["skipped_by_reason"].values())
        for question in found.questions:
            assert Question.from_dict(json.loads(json.dumps(question.to_dict()))) == question
        trees = list(found.trees)
        if corpus not in ("cgbench", "mlvu", "lvbench"):
            assert {tree.video_id for tree in trees} == {question.video_id for question in found.questions}
