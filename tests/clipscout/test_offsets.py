"""Trajectories are found by their places in the files, whatever order their keys are in."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipscout.view.index import Offsets
from clipscout.view.trajectory_set import QuestionFile, TrajectorySet
from evaluation.journal import Journal
from navigation import TOOLS, InputError, Question, Status, Trajectory, Visit

PATIENT = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
TRAP = '{"prediction": "B", "status": "failed", "messages": [], "id": "trap"}'


def trajectory(number=0, text="text", **more):
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
    records = [trajectory(number, part) for number, part in enumerate((text, TRAP + text, text + TRAP))]
    offsets = write(tmp_path_factory.mktemp("x") / "t.jsonl", records, ascii_only)
    assert [offsets.record(row) for row in offsets.rows] == records
    for row, record in zip(offsets.rows, records, strict=True):
        assert (row.id, row.status, row.correct, row.prediction, row.visits, row.total) == (
            record["id"], "answered", True, "A", 2, 0.5,
        )  # fmt: skip


def test_keys_in_any_order_are_read(tmp_path):
    record = trajectory() | {"step": 3, "group": 7, "advantage": -0.25}
    shuffled = [dict(sorted(record.items(), reverse=backwards)) for backwards in (False, True)]
    first = {"step": 3, "group": 7, "advantage": -0.25} | trajectory()
    for row in write(tmp_path / "t.jsonl", [record, *shuffled, first]).rows:
        assert (row.id, row.step, row.group, row.advantage, row.visits) == ("q0#0", 3, "7", -0.25, 2)


def test_a_file_that_grows_is_read_on(tmp_path):
    path = tmp_path / "t.jsonl"
    offsets = write(path, [trajectory(0)])
    line = json.dumps(trajectory(1))
    with open(path, "a") as file:
        file.write(line[:50])
    offsets.refresh()
    assert len(offsets.rows) == 1
    with open(path, "a") as file:
        file.write(line[50:] + "\n")
    offsets.refresh()
    assert [offsets.record(row)["id"] for row in offsets.rows] == ["q0#0", "q1#0"]


def ids(offsets):
    """Of every row by its place in the file, checked to be those of the index."""
    found = [offsets.record(row)["id"] for row in offsets.rows]
    assert found == [row.id for row in offsets.rows]
    return found


def lines(*numbers):
    return "".join(json.dumps(trajectory(number, "t" * 9 * number)) + "\n" for number in numbers)


def renamed(path, text):
    path.with_suffix(".tmp").write_text(text)
    path.with_suffix(".tmp").replace(path)


def in_place(path, text):
    before = path.stat()
    path.write_text(text)
    # A clock tick later, whatever the file system's clock is.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


@pytest.mark.parametrize("rewrite", [renamed, in_place])
@pytest.mark.parametrize("after", [(2, 0, 1), (1, 2, 0), (2, 1), (), (2, 0, 1, 3), (3, 4, 5, 6)], ids=str)
def test_a_file_that_was_written_anew_is_read_anew(tmp_path, rewrite, after):
    path = tmp_path / "t.jsonl"
    path.write_text(lines(0, 1, 2))
    offsets = Offsets([path])
    offsets.refresh()
    before = offsets.rows
    rewrite(path, lines(*after))
    offsets.refresh()
    assert ids(offsets) == [f"q{number}#0" for number in after]
    assert [row.id for row in before] == ["q0#0", "q1#0", "q2#0"]


def test_an_evaluation_that_ends_brings_its_file_into_order(tmp_path):
    journal = Journal(tmp_path)
    with journal.open({}):
        for number in (1, 0, 2):
            journal.append(Trajectory.from_dict(trajectory(number, "t" * 9 * number)))
        offsets = Offsets([tmp_path / "trajectories.jsonl"])
        offsets.refresh()
        assert ids(offsets) == ["q1#0", "q0#0", "q2#0"]
        stale = offsets.rows[0]
        journal.close_in_order(f"q{number}#0" for number in range(3))
    with pytest.raises(InputError) as error:
        offsets.record(stale)
    assert error.value.field == "line"
    offsets.refresh()
    assert ids(offsets) == ["q0#0", "q1#0", "q2#0"]


def test_an_unchanged_file_is_not_opened_again(tmp_path, monkeypatch):
    offsets = write(tmp_path / "t.jsonl", [trajectory(0)])
    monkeypatch.setattr("builtins.open", None)
    before = offsets.rows
    offsets.refresh()
    assert offsets.rows is before


def test_files_that_come_and_go_are_found(tmp_path):
    offsets = Offsets(lambda: sorted(tmp_path.glob("*.jsonl")))
    offsets.refresh()
    assert offsets.rows == []
    for number in (1, 3, 2):
        (tmp_path / f"{number}.jsonl").write_text(lines(number, number + 10))
        offsets.refresh()
    assert ids(offsets) == [f"q{number}#0" for number in (1, 11, 2, 12, 3, 13)]
    (tmp_path / "3.jsonl").unlink()
    renamed(tmp_path / "1.jsonl", lines(1, 11, 21))
    offsets.refresh()
    assert ids(offsets) == [f"q{number}#0" for number in (1, 11, 21, 2, 12)]


def test_a_broken_line_is_told_until_it_is_mended(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(lines(0) + "{\n" + lines(1))
    offsets = Offsets([path])
    for _ in range(2):
        with pytest.raises(InputError) as error:
            offsets.refresh()
        assert error.value.source == f"{path}:2"
    renamed(path, lines(0, 1))
    offsets.refresh()
    assert ids(offsets) == ["q0#0", "q1#0"]


def test_threads_take_in_each_row_once(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(lines(*range(400)))
    trajectories = TrajectorySet("trajectories", [path], None)
    together = Barrier(8)

    def look():
        together.wait()
        trajectories.offsets.refresh()
        return {key: list(numbers) for key, numbers in trajectories.by_question().items()}

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = [each.result() for each in [pool.submit(look) for _ in range(8)]]
    finally:
        sys.setswitchinterval(interval)
    assert len(trajectories.rows) == 400
    assert found == [{f"q{number}": [number] for number in range(400)}] * 8


@pytest.mark.parametrize(
    ("line", "field"),
    [("{", "line"), ("[]", "line"), ("[" * 50_000, "line"), (json.dumps(trajectory(status="happy")), "status"),
     (json.dumps(trajectory(visits=3)), "visits"), (json.dumps(trajectory(id=None)), "id"),
     (json.dumps(trajectory(status=[1])), "status")],
    ids=range(7),
)  # fmt: skip
def test_a_broken_line_is_named(tmp_path, line, field):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(trajectory()) + "\n\n" + line + "\n")
    with pytest.raises(InputError) as raised:
        Offsets([path]).refresh()
    assert (raised.value.source, raised.value.field) == (f"{path}:3", field)


def test_files_follow_one_another(tmp_path):
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for number, path in enumerate(paths):
        write(path, [trajectory(number)])
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
    with pytest.raises(InputError) as error:
        QuestionFile(path)
    assert error.value.source == f"{path}:1"
