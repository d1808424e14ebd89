"""Trajectories are found by their places in the files, whatever order their keys are in."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipscout.view.offsets import Offsets
from clipscout.view.question_file import QuestionFile
from navigation import TOOLS, InputError, Question, Status, Trajectory, Visit

PATIENT = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
TRAP = '{"prediction": "B", "status": "failed", "messages": [], "id": "trap"}'


def walk(number=0, text="text", **more):
    messages = [{"role": "assistant", "content": text}]
    record = Trajectory(
        f"q{number}#0", f"q{number}", "video", messages, TOOLS, "A", True, Status.ANSWERED,
        [Visit("get_caption", (1,)), Visit("video_qa", (1, 1), text)], reward={"total": 0.5}, error=text,
    ).to_dict()  # fmt: skip
    return record | more


def write(path, records, ascii_only=False):
    path.write_text("".join(json.dumps(each, ensure_ascii=ascii_only) + "\n" for each in records), encoding="utf-8")
    offsets = Offsets([path])
    offsets.refresh()
    return offsets


@PATIENT
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60), ascii_only=st.booleans())
def test_a_row_says_what_the_whole_record_says(text, ascii_only, tmp_path_factory):
    records = [walk(number, part) for number, part in enumerate((text, TRAP + text, text + TRAP))]
    offsets = write(tmp_path_factory.mktemp("x") / "t.jsonl", records, ascii_only)
    assert [offsets.record(row) for row in offsets.rows] == records
    for row, record in zip(offsets.rows, records, strict=True):
        assert (row.id, row.status, row.correct, row.prediction, row.visits, row.total) == (
            record["id"], "answered", True, "A", 2, 0.5,
        )  # fmt: skip


def test_keys_in_any_order_are_read(tmp_path):
    record = walk() | {"step": 3, "group": 7, "advantage": -0.25}
    shuffled = [dict(sorted(record.items(), reverse=backwards)) for backwards in (False, True)]
    first = {"step": 3, "group": 7, "advantage": -0.25} | walk()
    for row in write(tmp_path / "t.jsonl", [record, *shuffled, first]).rows:
        assert (row.id, row.step, row.group, row.advantage, row.visits) == ("q0#0", 3, "7", -0.25, 2)


def test_a_file_that_grows_is_read_on(tmp_path):
    path = tmp_path / "t.jsonl"
    offsets = write(path, [walk(0)])
    line = json.dumps(walk(1))
    with open(path, "a") as file:
        file.write(line[:50])
    offsets.refresh()
    assert len(offsets.rows) == 1
    with open(path, "a") as file:
        file.write(line[50:] + "\n")
    offsets.refresh()
    assert [offsets.record(row)["id"] for row in offsets.rows] == ["q0#0", "q1#0"]


def test_a_file_that_shrank_is_told(tmp_path):
    offsets = write(tmp_path / "t.jsonl", [walk(0), walk(1)])
    (tmp_path / "t.jsonl").write_text("")
    with pytest.raises(InputError, match="start the viewer again"):
        offsets.refresh()


@pytest.mark.parametrize(
    ("line", "field"),
    [("{", "line"), ("[]", "line"), ("[" * 50_000, "line"), (json.dumps(walk(status="happy")), "status"),
     (json.dumps(walk(visits=3)), "visits"), (json.dumps(walk(id=None)), "id"),
     (json.dumps(walk(status=[1])), "status")],
    ids=range(7),
)  # fmt: skip
def test_a_broken_line_is_named(tmp_path, line, field):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(walk()) + "\n\n" + line + "\n")
    with pytest.raises(InputError) as raised:
        Offsets([path]).refresh()
    assert (raised.value.source, raised.value.field) == (f"{path}:3", field)


def test_files_follow_one_another(tmp_path):
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for number, path in enumerate(paths):
        write(path, [walk(number)])
    offsets = Offsets(paths)
    offsets.refresh()
    offsets.refresh()
    assert [row.id for row in offsets.rows] == ["q0#0", "q1#0"]
    assert offsets.trajectory(offsets.rows[1]).question_id == "q1"


@PATIENT
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), kind=st.text(max_size=20))
def test_questions_are_read_back(text, kind, tmp_path_factory):
    kind = kind.encode("utf-8", "replace").decode()
    question = Question(text, "v", text, (text, '"kind": "x"}'), "A", ((1.0, 2.0),), 9.0, text, kind)
    for ascii_only in (False, True):
        path = tmp_path_factory.mktemp("q") / "questions.jsonl"
        row = json.dumps(question.to_dict(), ensure_ascii=ascii_only)
        path.write_text(f"\n{row}\n{json.dumps({'question': 'second', 'id': 'two'})}\n", encoding="utf-8")
        questions = QuestionFile(path)
        assert questions.get(text) == question
        assert (questions.texts[text], questions.kinds[text]) == (text, kind)
        assert questions.texts["two"] == "second"
        assert questions.get("three") is None


def test_a_broken_question_is_named(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match=r"questions\.jsonl:1"):
        QuestionFile(path)
