import json
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from navigation import InputError, read_jsonl, write_atomic, write_json, write_jsonl
from navigation.files import child_path, id_to_name

HOSTILE = [
    "..", ".", "../a", "a/b", "a b", "a_b", "/etc/passwd", "a\\b", "a\0b", "~", "~root", ".hidden", "con\n", "a" * 300,
    "a" * 101, "ä", "a\u0308", "\ud800", "-rf", "*", "a~b", "a.json", "日本", "日本語", "%2e%2e", "", "\ufeff", "a/",
    "a//b",
]  # fmt: skip
ids = st.one_of(st.text(st.characters(), max_size=40), st.text("./\\~_-aA ", max_size=12), st.sampled_from(HOSTILE))


@given(ids.filter(bool))
@example("..")
@example("a\0b")
def test_a_name_stays_inside_its_folder(identifier):
    path = child_path("/data/trees", identifier, ".json")
    assert os.path.dirname(os.path.normpath(path)) == "/data/trees"
    assert os.path.normpath(path) == str(path)
    assert path.name.isascii()
    assert "\0" not in path.name
    assert not path.name.startswith(".")
    assert len(path.name) < 128


@given(ids, ids)
def test_names_differ_as_ids_do(one, other):
    assert (id_to_name(one) == id_to_name(other)) == (one == other)


def test_no_two_hostile_ids_meet():
    names = HOSTILE + [id_to_name(identifier) for identifier in HOSTILE if id_to_name(identifier) != identifier]
    assert len({id_to_name(identifier) for identifier in names}) == len(names)


@pytest.mark.parametrize("identifier", ["3ZpmN3-2-Zo", "-abc", "_x", "grp-1.clip_2", "a" * 100])
def test_a_plain_id_is_its_own_name(identifier):
    assert id_to_name(identifier) == identifier


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(identifier=ids.filter(bool))
def test_a_hostile_id_can_be_written_and_read(identifier, tmp_path):
    path = child_path(tmp_path, identifier, ".json")
    write_json(path, {"id": identifier})
    assert path.parent == tmp_path
    assert json.loads(path.read_text(encoding="utf-8")) == {"id": identifier}


@pytest.mark.parametrize("identifier", ["", None, 5, ["a"]])
def test_an_id_that_is_no_text_is_named(identifier):
    with pytest.raises(InputError) as error:
        child_path("/data", identifier, ".json")
    assert (error.value.field, error.value.value) == ("id", identifier)


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch, step, failure):
    path = tmp_path / "file.json"
    write_atomic(path, "old")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(failure)):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.json"]


def test_rows_that_fail_half_way_leave_the_old_file_alone(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"a": 1}])

    def rows():
        yield {"a": 2}
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_jsonl(path, rows())
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == '{"a": 1}\n'
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    (tmp_path / "plain").touch()
    write_atomic(tmp_path / "file", "text")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_rows_are_written_whole_and_read_with_their_places(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert write_jsonl(path, ({"n": number} for number in range(3))) == 3
    assert list(read_jsonl(path)) == [(f"{path}:{number}", {"n": number - 1}) for number in (1, 2, 3)]


@pytest.mark.parametrize("line", ["half", "[1]", '{"n": ' + "1" * 5000 + "}", "[" * 100_000, "\udcff"])
def test_a_line_that_is_no_object_is_named(line, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\n\n' + line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(InputError) as error:
        list(read_jsonl(path))
    assert (error.value.source, error.value.field) == (f"{path}:3", "line")


def test_a_line_cut_by_a_kill_is_left_out_where_that_is_asked_for(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": 1}\n{"n": ')
    assert [row for _, row in read_jsonl(path, cut_end=True)] == [{"n": 1}]
    with pytest.raises(InputError) as error:
        list(read_jsonl(path))
    assert error.value.field == "line"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError) as error:
        list(read_jsonl(tmp_path / "none.jsonl"))
    assert error.value.field == "file"
