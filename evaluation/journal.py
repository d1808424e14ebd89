"""Finished episodes of one evaluation on disk: appended one by one, none lost, none played twice."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from navigation import InputError, Trajectory, read_trajectories, write_jsonl
from navigation.files import read_line
from runtime import keep_settings
from runtime.endpoint import label_of
from runtime.journal import LineFile


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
        self.unmeasured: dict[str, str] = {}
        """Reasons of episodes that this run could not measure, by id."""
        self.unjudged: dict[str, Trajectory] = {}
        """Episodes that were played and have no verdict yet, by id."""
        self._dropped = 0
        self._right = self._decided = 0
        self._places: dict[str, tuple[int, int]] = {}
        self._seconds: dict[str, float] = {}

    @contextmanager
    def open(self, settings: Mapping[str, Any]) -> Iterator["Journal"]:
        """Holds the folder for one process; reads what is finished.

        Raises:
            InputError: the folder holds results of other settings or episodes of something else, another process writes
                in it, or a line is broken.
        """
        path = self.folder / "trajectories.jsonl"
        with LineFile(path, "evaluation") as self._file:
            # An evaluation writes its settings before its first episode: episodes without them are somebody else's.
            if os.path.getsize(path) and not (self.folder / "settings.json").exists():
                hint = "these are not an evaluation's, such as a teacher's: give another folder"
                raise InputError(path, "file", "episodes without a settings.json", hint)
            keep_settings(self.folder / "settings.json", settings)
            with LineFile(self.folder / "timings.jsonl", "evaluation") as self._timings:
                self._read()
                yield self

    def accuracy(self) -> str:
        """How right the finished episodes are, in words."""
        return f"accuracy {self._right / self._decided:.3f}" if self._decided else ""

    def reasons(self) -> list[str]:
        """Why episodes were not measured, most frequent first, with counts."""
        return count_reasons(self.unmeasured.values())

    def write_unmeasured(self) -> None:
        """Keeps the reasons beside the results, or takes away those of an earlier run."""
        path = self.folder / "unmeasured.jsonl"
        if self.unmeasured:
            write_jsonl(path, ({"id": each, "reason": reason} for each, reason in sorted(self.unmeasured.items())))
        else:
            path.unlink(missing_ok=True)
        path = self.folder / "unjudged.jsonl"
        left = {each: self.unjudged[each] for each in sorted(self.unjudged) if each not in self.finished}
        if left:
            write_jsonl(path, (each.to_dict() for each in left.values()))
        else:
            path.unlink(missing_ok=True)

    def append(self, trajectory: Trajectory) -> None:
        """Writes one finished episode; it survives a kill from here on."""
        self._timings.append(_line({"id": trajectory.id, "seconds": trajectory.seconds}))
        self._seconds[trajectory.id] = trajectory.seconds
        record = trajectory.to_dict()
        del record["seconds"]
        line = _line(record)
        self._remember(trajectory, self._file.append(line), len(line))

    def set_aside(self, trajectory: Trajectory) -> None:
        """Keeps an episode whose judge could not be asked: the next run needs its verdict alone."""
        if trajectory.id not in self.unjudged:
            with open(self.folder / "unjudged.jsonl", "ab") as file:
                file.write(_line(trajectory.to_dict()))
        self.unjudged[trajectory.id] = trajectory

    def close_in_order(self, ids: Iterable[str]) -> list[Trajectory]:
        """Brings the files into the given order, whatever order the episodes ended in; returns the trajectories.

        Ids of episodes that were not measured are left out.
        """
        ids = [each for each in ids if each in self.finished]
        self._file.sync()
        places = [self._places[each] for each in ids]
        if self._dropped or places != sorted(self._places.values()):
            path = self.folder / "trajectories.jsonl"
            temporary = path.with_suffix(".jsonl.tmp")
            with open(temporary, "wb") as ordered:
                ordered.writelines(self._file.read(*place) for place in places)
                ordered.flush()
                os.fsync(ordered.fileno())
            os.replace(temporary, path)
        write_jsonl(self.folder / "timings.jsonl", ({"id": each, "seconds": self._seconds.get(each)} for each in ids))
        return [self.finished[each] for each in ids]

    def _read(self) -> None:
        for _, _, record in _records(self._timings):
            self._seconds[record["id"]] = record["seconds"] or 0.0
        for place, length, record in _records(self._file):
            if record.get("status") == "failed" and str(record.get("error")).startswith(_NO_ANSWERS):
                self._dropped += 1
            elif record["id"] not in self.finished:
                trajectory = Trajectory.from_dict(record)
                trajectory.seconds = self._seconds.get(trajectory.id, 0.0)
                self._remember(trajectory, place, length)
        path = self.folder / "unjudged.jsonl"
        if path.exists():
            left = {each.id: each for each in read_trajectories(path, cut_end=True)}
            self.unjudged = {each: left[each] for each in left if each not in self.finished}

    def _remember(self, trajectory: Trajectory, place: int, length: int) -> None:
        if not self.keep_messages:
            trajectory.messages = []
        self.finished[trajectory.id] = trajectory
        self._right += trajectory.correct
        self._decided += trajectory.decided
        self._places[trajectory.id] = (place, length)


_NO_ANSWERS = ("EndpointFailed: ", "EndpointDown: ", "Stopped: ")
"""How the version before wrote down an episode whose request had failed: it is played again."""


def count_reasons(reasons: Iterable[str]) -> list[str]:
    """Reasons in short, most frequent first, with counts."""
    return [f"{count} x {label}" for label, count in Counter(map(label_of, reasons)).most_common()]


def _records(file: LineFile) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Place, length and record of each line."""
    for number, (place, line) in enumerate(file.lines(), 1):
        source = f"{file.path}:{number}"
        record = read_line(line, source, "remove it")
        if "id" not in record:
            raise InputError(source, "id", None, "remove this line")
        yield place, len(line), record


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
