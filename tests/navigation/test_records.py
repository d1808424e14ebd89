import contextlib
import json
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navigation import (
    LETTERS,
    CaptionTree,
    InputError,
    Line,
    Question,
    Status,
    TimeGrid,
    Trajectory,
    Visit,
    read_questions,
    repeats,
    write_json,
    write_jsonl,
)

any_text = st.text(st.characters(), max_size=30)
name = st.text(st.characters(), min_size=1, max_size=30)
seconds = st.floats(0, 1e6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def questions(draw):
    options = tuple(draw(st.lists(any_text, min_size=2, max_size=26)))
    duration = draw(st.floats(1e-3, 1e6))
    clues = tuple(tuple(sorted(pair)) for pair in draw(st.lists(st.tuples(*[st.floats(0, duration)] * 2), max_size=3)))
    return Question(
        draw(name), draw(name), draw(name), options, draw(st.sampled_from(LETTERS[: len(options)])), clues, duration,
        draw(any_text), draw(any_text),
    )  # fmt: skip


@st.composite
def trees(draw):
    grid = TimeGrid(draw(st.floats(1e-3, 1e6)), draw(st.integers(2, 3)), draw(st.integers(1, 2)))
    captions = {path: draw(any_text) for path in grid.paths() if draw(st.booleans())}
    pairs = [sorted(pair) for pair in draw(st.lists(st.tuples(seconds, seconds), max_size=3))]
    lines = tuple(Line(*pair, draw(any_text)) for pair in pairs)
    return CaptionTree(draw(name), grid, captions, draw(st.dictionaries(any_text, st.integers())), lines)


@given(questions())
def test_a_question_survives_json(question):
    assert Question.from_dict(json.loads(json.dumps(question.to_dict()))) == question


@given(trees())
def test_a_tree_survives_json(tree):
    assert CaptionTree.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree
    assert set(tree.missing()) == set(tree.grid.paths()) - set(tree.captions)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(tree=trees())
def test_a_tree_survives_a_file(tree, tmp_path):
    write_json(tmp_path / "tree.json", tree.to_dict())
    assert CaptionTree.load(tmp_path / "tree.json") == tree


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(rows=st.lists(questions(), max_size=3))
def test_questions_survive_a_file(rows, tmp_path):
    write_jsonl(tmp_path / "questions.jsonl", (row.to_dict() for row in rows))
    assert list(read_questions(tmp_path / "questions.jsonl")) == rows


def test_a_trajectory_survives_json():
    trajectory = Trajectory(
        "q#0", "q", "v", [{"role": "user", "content": "?"}], [], "A", True, Status.ANSWERED,
        [Visit("get_caption", (1, 2)), Visit("video_qa", (1, 2), "who?")], reward={"answer": 1.0, "grounding": None},
    )  # fmt: skip
    assert Trajectory.from_dict(json.loads(json.dumps(trajectory.to_dict()))) == trajectory


def test_repeats_are_equal_calls():
    first, asked = Visit("get_caption", (1,)), Visit("video_qa", (1,), "who?")
    assert repeats([first, asked, first, Visit("video_qa", (1,), "what?"), asked]) == 2


QUESTION = {
    "id": "q", "video_id": "v", "question": "?", "options": ["a", "b"], "answer": "A", "clue_intervals": [[1.0, 2.0]],
    "duration": 9.0, "source": "s", "kind": "k",
}  # fmt: skip
TREE = {
    "video_id": "v", "duration": 9.0, "width": 2, "depth": 1, "segments": [{"path": [1], "caption": "c"}],
    "made_by": {}, "lines": [{"start": 0.0, "end": 1.0, "text": "t"}],
}  # fmt: skip
TRAJECTORY = Trajectory("q#0", "q", "v", [], [], "A", True, Status.ANSWERED, [Visit("get_caption", (1,))]).to_dict()

BAD_QUESTIONS = [
    ("id", ""), ("id", 3), ("video_id", None), ("question", ["?"]), ("options", "ab"), ("options", ["a"]),
    ("options", ["a"] * 27), ("options", ["a", 1]), ("answer", "C"), ("answer", "AB"), ("answer", "a"),
    ("duration", 0), ("duration", "9"), ("duration", True), ("duration", 10**400), ("duration", float("nan")),
    ("clue_intervals", 5),
    ("clue_intervals", {"a": 1}), ("clue_intervals", [[1]]), ("clue_intervals", [[1, "2"]]),
    ("clue_intervals", [[2, 1]]),
    ("clue_intervals", [[-1, 1]]), ("clue_intervals", [[1, 9.5]]), ("clue_intervals", [[1, 10**400]]),
    ("clue_intervals", "12"), ("source", 1), ("kind", None),
]  # fmt: skip
BAD_TREES = [
    ("video_id", 5, "video_id"), ("video_id", "", "video_id"), ("duration", 10**400, "duration"), ("width", 1, "width"),
    ("depth", 0, "depth"), ("segments", None, "segments"), ("segments", {"1": "c"}, "segments"),
    ("segments", ["c"], "segments[0]"), ("segments", [{"caption": "c"}], "segments[0]"),
    ("segments", [{"path": [3], "caption": "c"}], "segments[0].path"),
    ("segments", [{"path": [True], "caption": "c"}], "segments[0].path"),
    ("segments", [{"path": [1.0], "caption": "c"}], "segments[0].path"),
    ("segments", [{"path": [], "caption": "c"}], "segments[0].path"),
    ("segments", [{"path": [10**400], "caption": "c"}], "segments[0].path"),
    ("segments", [{"path": [1], "caption": "c"}] * 2, "segments[1].path"),
    ("segments", [{"path": [1]}], "segments[0].caption"), ("made_by", "me", "made_by"), ("lines", {}, "lines"),
    ("lines", ["t"], "lines[0]"), ("lines", [{"end": 1, "text": "t"}], "lines[0].start"),
    ("lines", [{"start": 0, "end": "1", "text": "t"}], "lines[0].end"),
    ("lines", [{"start": 2, "end": 1, "text": "t"}], "lines[0].end"),
    ("lines", [{"start": 0, "end": 1}], "lines[0].text"),
]  # fmt: skip
BAD_TRAJECTORIES = [
    ("status", "done"), ("status", None), ("status", ["answered"]), ("messages", None), ("tools", {}), ("visits", 3),
    ("visits", ["v"]), ("visits", [{"tool": "get_caption"}]), ("visits", [{"tool": "get_caption", "path": ["1"]}]),
]  # fmt: skip


def assert_names(error, file, field):
    assert (error.source, error.field) == (file, field)
    assert error.hint
    assert str(error).startswith(f"{file}: {field} is ")
    assert len(str(error)) < 400


@pytest.mark.parametrize(("field", "value"), BAD_QUESTIONS)
def test_a_bad_question_is_named(field, value):
    with pytest.raises(InputError) as caught:
        Question.from_dict(QUESTION | {field: value}, "data.jsonl:7")
    assert_names(caught.value, "data.jsonl:7", field)


@pytest.mark.parametrize(("key", "value", "field"), BAD_TREES)
def test_a_bad_tree_is_named(key, value, field, tmp_path):
    with pytest.raises(InputError) as caught:
        CaptionTree.from_dict(TREE | {key: value}, "v.json")
    assert_names(caught.value, "v.json", field)
    write_json(tmp_path / "v.json", TREE | {key: value})
    with pytest.raises(InputError) as loaded:
        CaptionTree.load(tmp_path / "v.json")
    assert_names(loaded.value, str(tmp_path / "v.json"), field)


@pytest.mark.parametrize(("field", "value"), BAD_TRAJECTORIES)
def test_a_bad_trajectory_is_named(field, value):
    with pytest.raises(InputError) as caught:
        Trajectory.from_dict(TRAJECTORY | {field: value}, "episodes.jsonl:2")
    assert_names(caught.value, "episodes.jsonl:2", field)


@pytest.mark.parametrize(
    ("read", "record", "needed"),
    [
        (Question.from_dict, QUESTION, ["id", "video_id", "question", "options", "answer", "duration"]),
        (CaptionTree.from_dict, TREE, ["video_id", "duration", "width", "depth", "segments"]),
        (Trajectory.from_dict, TRAJECTORY, ["id", "messages", "tools", "status", "visits", "prediction", "correct"]),
    ],
)
def test_a_missing_key_is_named(read, record, needed):
    for key in needed:
        with pytest.raises(InputError) as caught:
            read({name: value for name, value in record.items() if name != key}, "here")
        assert_names(caught.value, "here", key)
    for key in set(record) - set(needed) - set(TRAJECTORY):
        read({name: value for name, value in record.items() if name != key})


@pytest.mark.parametrize("read", [Question.from_dict, CaptionTree.from_dict, Trajectory.from_dict])
@given(value=json_values, data=st.data())
def test_any_json_is_read_or_named(read, value, data):
    record = {Question.from_dict: QUESTION, CaptionTree.from_dict: TREE, Trajectory.from_dict: TRAJECTORY}[read]
    for candidate in (value, record | {data.draw(st.sampled_from(sorted(record))): value}):
        # Anything but an InputError fails the test.
        with contextlib.suppress(InputError):
            read(candidate)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[1]", b'{"duration": ' + b"9" * 5000 + b"}", b"[" * 100_000, b"null", b'"text"', b"NaN"],
)
def test_a_broken_file_is_named(content, tmp_path):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        CaptionTree.load(path)
    assert error.value.source == str(path)
    path.write_bytes(json.dumps(QUESTION).encode() + b"\n\n" + (content or b"{") + b"\n")
    rows = read_questions(path)
    assert next(rows).id == "q"
    with pytest.raises(InputError) as caught:
        list(rows)
    assert caught.value.source == f"{path}:3"


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(QUESTION).encode() + b"\r\n")
    assert [question.id for question in read_questions(path)] == ["q"]


@pytest.mark.parametrize(
    "value", [10**5000, "x" * 10**6, object(), None, "\n\x1b[31m"], ids=["int", "text", "object", "none", "control"]
)
def test_an_input_error_is_one_short_line_and_crosses_processes(value):
    error = InputError("file", "field", value, "fix it")
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 120
    again = pickle.loads(pickle.dumps(InputError("file", "field", 1, "fix it")))
    assert (str(again), again.field) == ("file: field is 1: fix it", "field")


def test_lines_in_a_segment(make_tree):
    tree = make_tree()
    assert [line.text for line in tree.lines_in((1, 1))] == ["line 0", "line 1", "line 2"]
    point = CaptionTree("v", tree.grid, {}, lines=(Line(10.0, 10.0, "a point"), Line(9.0, 11.0, "across")))
    assert [line.text for line in point.lines_in((1, 1, 2))] == ["a point", "across"]
    assert [line.text for line in point.lines_in((1, 1, 1))] == ["across"]
