"""Where each trajectory lies in its JSONL files, with what lists and filters need; none is loaded whole."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from navigation import InputError, Status, Trajectory
from navigation.errors import is_number

_MESSAGES, _PREDICTION = b'"messages":', b'"prediction":'
_STATUSES = frozenset(status.value for status in Status)
_BUFFER = 1 << 20


class Row(NamedTuple):
    """One trajectory's place and its outcome.

    `total` is the recorded total reward; `step`, `group` and `advantage` are GRPO's, None elsewhere.
    """

    file: int
    place: int
    length: int
    id: str
    question_id: str
    video_id: str
    status: str
    correct: bool
    prediction: str | None
    visits: int
    refused: int
    turns: int
    total: float | None
    step: int | None
    group: str | None
    advantage: float | None


class Offsets:
    """Rows of some JSONL files, in order. A file that grows is read on from where it ended.

    Args:
        files: The files, oldest first.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)
        self.rows: list[Row] = []
        self._read_to = [0] * len(self.files)
        self._lines = [0] * len(self.files)

    def refresh(self) -> None:
        """Takes in what was appended since the last call.

        Raises:
            InputError: with file and line, where a line is no trajectory, or a file that was cut short.
        """
        for number, path in enumerate(self.files):
            size = os.stat(path).st_size
            if size < self._read_to[number]:
                raise InputError(path, "file", f"{size} bytes", "it was rewritten: start the viewer again")
            if size > self._read_to[number]:
                self.rows.extend(self._new_rows(number, path))

    def record(self, row: Row) -> dict[str, Any]:
        """The whole record of a row, read from its file."""
        with open(self.files[row.file], "rb") as file:
            file.seek(row.place)
            return json.loads(file.read(row.length))

    def trajectory(self, row: Row) -> Trajectory:
        return Trajectory.from_dict(self.record(row), self.files[row.file])

    def _new_rows(self, number: int, path: Path) -> Iterator[Row]:
        with open(path, "rb", _BUFFER) as file:
            file.seek(self._read_to[number])
            for line in file:
                if line[-1:] != b"\n":  # a writer is in the middle of it
                    break
                place = self._read_to[number]
                self._read_to[number] += len(line)
                self._lines[number] += 1
                if len(line) > 1:
                    yield _row(number, place, line, path, self._lines[number])


def _row(number: int, place: int, line: bytes, path: Path, line_number: int) -> Row:
    record = _without_messages(line)
    try:
        if record is None:
            record = json.loads(line)
        return _checked(record, number, place, len(line))
    except (ValueError, RecursionError) as error:
        source = f"{path}:{line_number}"
        if isinstance(error, InputError):
            raise InputError(source, error.field, error.value, error.mend) from None
        raise InputError(source, "line", line[:60].decode(errors="replace"), f"remove it ({error})") from None


def _without_messages(line: bytes) -> dict[str, Any] | None:
    """The record without its messages, which are nearly all of it, where its keys stand in `to_dict`'s order.

    Exact: inside a JSON text a quotation mark always follows a backslash, so neither key can be found there.
    """
    head, tail = line.find(_MESSAGES), line.rfind(_PREDICTION)
    if not 0 < head < tail:
        return None
    try:
        return json.loads((line[:head] + line[tail:]).decode())
    except (ValueError, RecursionError):
        return None


def _checked(record: Any, number: int, place: int, length: int) -> Row:
    source = "trajectory"
    if not isinstance(record, dict):
        raise InputError(source, "line", record, "give one JSON object a line")
    for key in ("id", "question_id", "video_id"):
        if not isinstance(record.get(key), str):
            raise InputError(source, key, record.get(key), "every trajectory needs this text")
    status = record.get("status")
    if not isinstance(status, str) or status not in _STATUSES:
        raise InputError(source, "status", status, f"give one of {', '.join(Status)}")
    if not isinstance(record.get("visits"), list):
        raise InputError(source, "visits", record.get("visits"), "give a list")
    reward = record.get("reward")
    prediction, group = record.get("prediction"), record.get("group")
    return Row(
        number, place, length, record["id"], record["question_id"], record["video_id"], status,
        record.get("correct") is True, prediction if isinstance(prediction, str) else None, len(record["visits"]),
        _whole(record.get("refused")) or 0, _whole(record.get("turns")) or 0,
        _number(reward.get("total")) if isinstance(reward, dict) else None,
        _whole(record.get("step")), str(group) if group is not None else None, _number(record.get("advantage")),
    )  # fmt: skip


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
