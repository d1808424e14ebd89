import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navigation import InputError
from runtime import Journal

SETTINGS = {"model": "m", "recipe": {"quality": 75}}


def test_values_survive_and_the_last_one_counts(tmp_path):
    with Journal(tmp_path / "a.jsonl", SETTINGS) as journal:
        journal.append("1", {"text": "one\nline\u2028 \ud800"})
        journal.append("2", "two")
        journal.append("1", "again")
        assert journal["1"] == "again"
    with Journal(tmp_path / "a.jsonl", SETTINGS) as journal:
        assert list(journal) == ["1", "2"]
        assert journal["1"] == "again"
        assert journal["2"] == "two"
        assert "3" not in journal
        assert journal.damaged == 0


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), keys=st.lists(st.text(), min_size=1, max_size=5, unique=True))
def test_a_file_cut_anywhere_keeps_every_whole_line(tmp_path, cut, keys):
    path = tmp_path / "cut.jsonl"
    path.unlink(missing_ok=True)
    ends = []
    with Journal(path, SETTINGS) as journal:
        for key in keys:
            journal.append(key, {"key": key})
            ends.append(path.stat().st_size)
    os.truncate(path, min(cut, ends[-1]))
    whole = [key for key, end in zip(keys, ends, strict=True) if end <= cut]
    with Journal(path, SETTINGS) as journal:
        assert list(journal) == whole
        journal.append("after", 1)
    with Journal(path, SETTINGS) as journal:
        assert list(journal) == [*whole, "after"] if "after" not in whole else whole
        assert all(journal[key] == {"key": key} for key in whole if key != "after")


def test_a_flipped_bit_is_found_and_only_its_line_is_lost(tmp_path):
    path = tmp_path / "a.jsonl"
    with Journal(path, SETTINGS) as journal:
        for key in "abc":
            journal.append(key, "caption of " + key)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"caption of b", b"caption of c"))
    with Journal(path, SETTINGS) as journal:
        assert list(journal) == ["a", "c"]
        assert journal.damaged == 1


def test_other_settings_are_refused_and_shown(tmp_path):
    Journal(tmp_path / "a.jsonl", SETTINGS).close()
    with pytest.raises(InputError) as caught:
        Journal(tmp_path / "a.jsonl", {"model": "m", "recipe": {"quality": 90}, "words": 5})
    assert "recipe.quality: 75 before, 90 now" in str(caught.value)
    assert "words: absent before, 5 now" in str(caught.value)
    Journal(tmp_path / "a.jsonl", SETTINGS).close()


def test_a_foreign_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("my notes\nsecond line\n")
    with pytest.raises(InputError) as error:
        Journal(path, SETTINGS)
    assert (error.value.field, error.value.value) == ("first line", b"my notes\n")
    assert path.read_text() == "my notes\nsecond line\n"


def test_two_writers_are_refused(tmp_path):
    with Journal(tmp_path / "a.jsonl", SETTINGS), pytest.raises(InputError) as error:
        Journal(tmp_path / "a.jsonl", SETTINGS)
    assert (error.value.field, error.value.value) == ("journal", "locked")


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    with Journal(path, SETTINGS) as journal:
        journal.append("a", 1)
        real = os.pwrite

        def half_then_full(handle, data, offset):
            if len(data) > 8:
                return real(handle, data[:8], offset)
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda h, d, o: half_then_full(h, d if len(d) > 20 else d[:5], o))
            with pytest.raises(OSError, match="No space"):
                journal.append("b", 2)
        journal.append("c", 3)
    with Journal(path, SETTINGS) as journal:
        assert {key: journal[key] for key in journal} == {"a": 1, "c": 3}
        assert journal.damaged == 0


def test_what_append_returned_for_survives_sigkill(tmp_path):
    script = (
        "import sys\nfrom runtime import Journal\n"
        "journal = Journal(sys.argv[1], {}, sync_seconds=1000)\n"
        "for number in range(10**6):\n    journal.append(str(number), 'x' * 50); print(number, flush=True)\n"
    )
    path = tmp_path / "a.jsonl"
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    said = [int(next(child.stdout)) for _ in range(200)]
    child.send_signal(signal.SIGKILL)
    said += [int(line) for line in child.stdout if line.endswith("\n")]
    child.wait()
    with Journal(path, {}) as journal:
        assert [int(key) for key in journal][: len(said)] == said
        assert len(journal) - len(said) <= 1


def test_lines_are_plain_json(tmp_path):
    with Journal(tmp_path / "a.jsonl", SETTINGS) as journal:
        journal.append("ü", {"x": [1, 2]})
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[0]["value"]["settings"] == SETTINGS
    assert rows[1]["key"] == "ü"
    assert rows[1]["value"] == {"x": [1, 2]}
