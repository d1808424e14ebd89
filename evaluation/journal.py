"""Finished episodes of one evaluation on disk: appended one by one, none lost, none played twice."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from navigation import InputError, Trajectory, write_json, write_jsonl


class Journal:
    """The folder of one evaluation.

    `trajectories.jsonl` holds a line for every finished episode, without wall times, so that two runs with one seed
    give the same file; `timings.jsonl` holds the wall times; `settings.json` says what was run.

    Args:
        folder: Made if it is not there.
        keep_messages: Whether trajectories in memory keep their messages. The file always does.
    """

    def __init__(self, folder: str | Path, keep_messages: bool = True) -> None:
        self.folder = Path(folder)
        self.keep_messages = keep_messages
        self.finished: dict[str, Trajectory] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._seconds: dict[str, float] = {}

    @contextmanager
    def open(self, settings: Mapping[str, Any]) -> Iterator["Journal"]:
        """Holds the folder for one process; reads what is finished.

        Raises:
            InputError: the folder holds results of other settings or episodes of something else, another process writes
                in it, or a line is broken.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "trajectories.jsonl"
        with open(path, "a+b") as self._file:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    self.folder, "folder", "in use", "wait for the evaluation that is writing here"
                ) from None
            # An evaluation writes its settings before its first episode: episodes without them are somebody else's.
            if os.path.getsize(path) and not (self.folder / "settings.json").exists():
                hint = "these are not an evaluation's, such as a teacher's: give another folder"
                raise InputError(path, "file", "episodes without a settings.json", hint)
            check_settings(self.folder / "settings.json", settings)
            with open(self.folder / "timings.jsonl", "a+b") as self._timings:
                self._read(path)
                yield self

    def append(self, trajectory: Trajectory) -> None:
        """Writes one finished episode; it survives a kill from here on."""
        self._timings.write(_line({"id": trajectory.id, "seconds": trajectory.seconds}))
        self._timings.flush()
        self._seconds[trajectory.id] = trajectory.seconds
        record = trajectory.to_dict()
        del record["seconds"]
        line = _line(record)
        self._file.seek(0, os.SEEK_END)
        place = self._file.tell()
        self._file.write(line)
        self._file.flush()
        self._remember(trajectory, place, len(line))

    def close_in_order(self, ids: Iterable[str]) -> list[Trajectory]:
        """Brings the files into the given order, whatever order the episodes ended in; returns the trajectories."""
        ids = list(ids)
        os.fsync(self._file.fileno())
        places = [self._places[each] for each in ids]
        if places != sorted(self._places.values()):
            path = self.folder / "trajectories.jsonl"
            temporary = path.with_suffix(".jsonl.tmp")
            with open(temporary, "wb") as ordered:
                for place, length in places:
                    self._file.seek(place)
                    ordered.write(self._file.read(length))
                ordered.flush()
                os.fsync(ordered.fileno())
            os.replace(temporary, path)
        write_jsonl(self.folder / "timings.jsonl", ({"id": each, "seconds": self._seconds.get(each)} for each in ids))
        return [self.finished[each] for each in ids]

    def _read(self, path: Path) -> None:
        for _, _, record in _records(self._timings, self.folder / "timings.jsonl"):
            self._seconds[record["id"]] = record["seconds"] or 0.0
        for place, length, record in _records(self._file, path):
            if record["id"] not in self.finished:
                trajectory = Trajectory.from_dict(record)
                trajectory.seconds = self._seconds.get(trajectory.id, 0.0)
                self._remember(trajectory, place, length)

    def _remember(self, trajectory: Trajectory, place: int, length: int) -> None:
        if not self.keep_messages:
            trajectory.messages = []
        self.finished[trajectory.id] = trajectory
        self._places[trajectory.id] = (place, length)


def read_trajectories(path: str | Path) -> Iterator[Trajectory]:
    """Trajectories of a finished evaluation, one at a time.

    Raises:
        InputError: with file and line, where a line is no trajectory.
    """
    with open(path, "rb") as file:
        for _, _, record in _records(file, path, hint=False):
            yield Trajectory.from_dict(record)


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Writes what was run, or refuses a folder that holds the results of something else, showing the difference."""
    settings = json.loads(json.dumps(settings))
    if not path.exists():
        write_json(path, settings)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(path, "file", str(error), "give another folder, or remove this one") from None
    old, new = _flat(found), _flat(settings)
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if changed:
        shown = ", ".join(f"{key} {_short(old.get(key))} -> {_short(new.get(key))}" for key in changed)
        hint = f"this folder holds results of other settings ({shown}): give another folder, or remove this one"
        raise InputError(path, changed[0], old.get(changed[0]), hint)


def _records(file: Any, path: str | Path, hint: bool = True) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Place, length and record of each whole line. A last line without an end was cut by a kill and is dropped."""
    file.seek(0)
    place = 0
    for number, line in enumerate(iter(file.readline, b""), 1):
        if not line.endswith(b"\n"):
            if hint:
                file.truncate(place)
                file.seek(0, os.SEEK_END)
            return
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or "id" not in record:
                raise ValueError("no object with an id")
        except ValueError as error:
            raise InputError(
                f"{path}:{number}", "line", line[:60].decode(errors="replace"), f"remove it ({error})"
            ) from None
        yield place, len(line), record
        place += len(line)


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
