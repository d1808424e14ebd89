"""Where each trajectory lies in its JSONL files, with what lists and filters need; none is loaded whole."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

from navigation import InputError, Status, Trajectory
from navigation.errors import is_number

_MESSAGES, _PREDICTION = b'"messages":', b'"prediction":'
_STATUSES = frozenset(status.value for status in Status)
_BUFFER = 1 << 20


class Row(NamedTuple):
    """One trajectory's place and its outcome.

    `decided` is `Trajectory.decided`; `total` and `grounding` are of the recorded reward, `cost` is what the visits
    cost in units, where an evaluation measured it; `step`, `group` and `advantage` are GRPO's, None elsewhere.
    """

    file: int
    place: int
    length: int
    id: str
    question_id: str
    video_id: str
    status: str
    correct: bool
    decided: bool
    prediction: str | None
    visits: int
    refused: int
    turns: int
    prompt_tokens: int
    completion_tokens: int
    total: float | None
    grounding: float | None
    cost: float | None
    step: int | None
    group: str | None
    advantage: float | None


class Offsets:
    """Rows of some JSONL files, in order: of the files, then of their lines.

    A file that grows is read on from where it ended; one that was written anew is read anew. Threads may call at once.

    Args:
        files: The files, oldest first; or what lists them, where more may come.
    """

    def __init__(self, files: Sequence[Path] | Callable[[], Sequence[Path]]) -> None:
        self.rows: list[Row] = []
        self.files: list[Path] = []
        """Every file that was ever listed; `Row.file` is a place here."""
        self._list = files if callable(files) else lambda: files
        self._indexed: dict[Path, _IndexedFile] = {}
        self._lock = Lock()

    def refresh(self) -> None:
        """Takes in what changed since the last call. Then `rows` is another list: who holds the old one keeps it whole.

        Raises:
            InputError: with file and line, where a line is no trajectory.
        """
        with self._lock:
            indexed = [self._of(path) for path in self._list()]
            for each in indexed:
                each.refresh()
            rows = [row for each in indexed for row in each.rows]
            if rows != self.rows:
                self.rows = rows

    def record(self, row: Row) -> dict[str, Any]:
        """The whole record of a row, read from its file.

        Raises:
            InputError: the row's place does not hold it, as when the file was written anew a moment ago.
        """
        path = self.files[row.file]
        with open(path, "rb") as file:
            file.seek(row.place)
            line = file.read(row.length)
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or record.get("id") != row.id:
            hint = "open the page again: a run may have just written the file anew; if not, this line is broken"
            raise InputError(f"{path}: byte {row.place}", "line", line[:60].decode(errors="replace"), hint)
        return record

    def trajectory(self, row: Row) -> Trajectory:
        return Trajectory.from_dict(self.record(row), self.files[row.file])

    def _of(self, path: Path) -> "_IndexedFile":
        if path not in self._indexed:
            self._indexed[path] = _IndexedFile(path, len(self.files))
            self.files.append(path)
        return self._indexed[path]


class _IndexedFile:
    """One file's rows, and which file it was when they were read."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        self._stamp = (-1, -1, -1, -1)
        self._forget()

    def refresh(self) -> None:
        if file_stamp(os.stat(self.path)) == self._stamp:
            return
        with open(self.path, "rb", _BUFFER) as file:
            stamp = file_stamp(os.fstat(file.fileno()))
            if not self._only_grew(stamp, file):
                self._forget()
            file.seek(self._read_to)
            self._read(file)
        self._stamp = stamp

    def _forget(self) -> None:
        self.rows: list[Row] = []
        self._read_to = self._lines = 0
        self._last = (0, 0, 0)  # place, length and checksum of the last whole line

    def _only_grew(self, stamp: tuple[int, int, int, int], file: BinaryIO) -> bool:
        """Whether what was read still stands: the same file, longer, and the last line where it was.

        A file that was replaced may get the number of one that was deleted: hence the line.
        """
        if stamp[:2] != self._stamp[:2] or stamp[2] <= self._stamp[2]:
            return False
        place, length, checksum = self._last
        file.seek(place)
        return crc32(file.read(length)) == checksum

    def _read(self, file: BinaryIO) -> None:
        line = None
        for following in file:
            if following[-1:] != b"\n":  # a writer is in the middle of it
                break
            line = following
            if len(line) > 1:
                self.rows.append(_row(self.number, self._read_to, line, self.path, self._lines + 1))
            self._read_to += len(line)
            self._lines += 1
        if line is not None:
            self._last = (self._read_to - len(line), len(line), crc32(line))


def file_stamp(found: os.stat_result) -> tuple[int, int, int, int]:
    """Changes when the file is written to or replaced; the first two numbers say which file it is."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _row(number: int, place: int, line: bytes, path: Path, line_number: int) -> Row:
    record = _without_messages(line)
    try:
        if record is None:
            record = json.loads(line)
        return _checked(record, number, place, len(line))
    except (ValueError, RecursionError) as error:
        source = f"{path}:{line_number}"
        if isinstance(error, InputError):
            raise InputError(source, error.field, error.value, error.hint) from None
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
    reward, measures, verdict = (
        each if isinstance(each := record.get(key), dict) else {} for key in ("reward", "measures", "verdict")
    )
    prediction, group = record.get("prediction"), record.get("group")
    return Row(
        file=number,
        place=place,
        length=length,
        id=record["id"],
        question_id=record["question_id"],
        video_id=record["video_id"],
        status=status,
        correct=record.get("correct") is True,
        decided=not verdict or verdict.get("share") is not None,
        prediction=prediction if isinstance(prediction, str) else None,
        visits=len(record["visits"]),
        refused=_whole(record.get("refused")) or 0,
        turns=_whole(record.get("turns")) or 0,
        prompt_tokens=_whole(record.get("prompt_tokens")) or 0,
        completion_tokens=_whole(record.get("completion_tokens")) or 0,
        total=_number(reward.get("total")),
        grounding=_number(reward.get("grounding")),
        cost=_number(measures.get("visit_cost")),
        step=_whole(record.get("step")),
        group=str(group) if group is not None else None,
        advantage=_number(record.get("advantage")),
    )


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
