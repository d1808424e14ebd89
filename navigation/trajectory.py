"""A recorded episode: what was said, what was opened, how it ended and what it cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from navigation.errors import InputError
from navigation.files import read_jsonl
from navigation.grid import SegmentPath
from navigation.status import Status


@dataclass(frozen=True, slots=True)
class Visit:
    """One executed tool call that opened a segment. `video_qa` visits carry their query."""

    tool: str
    path: SegmentPath
    query: str | None = None

    def to_dict(self) -> dict[str, Any]:
        record: dict[str, Any] = {"tool": self.tool, "path": list(self.path)}
        if self.query is not None:
            record["query"] = self.query
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], source: str | Path = "visit") -> "Visit":
        """Reads one record.

        Raises:
            InputError: no tool, or no path of whole numbers.
        """
        if not isinstance(record, Mapping) or not isinstance(record.get("tool"), str):
            raise InputError(source, "visits", record, "give objects with tool and path")
        path = record.get("path")
        if not isinstance(path, (list, tuple)) or not path or not all(type(child) is int for child in path):
            raise InputError(source, "visits", record, "give path as a list of whole numbers")
        return cls(record["tool"], tuple(path), record.get("query"))


@dataclass(slots=True)
class Trajectory:
    """One policy's episode on one question.

    `refused` counts calls that opened nothing; `turns` counts assistant messages; `reward` holds raw values by part;
    `measures`, which is not written where it is empty, holds what an evaluation measured.
    """

    id: str
    question_id: str
    video_id: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    prediction: str | None
    correct: bool
    status: Status
    visits: list[Visit]
    refused: int = 0
    turns: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    error: str | None = None
    reward: dict[str, float | None] = field(default_factory=dict)
    teacher: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        record = {
            "id": self.id, "question_id": self.question_id, "video_id": self.video_id, "messages": self.messages,
            "tools": self.tools, "prediction": self.prediction, "correct": self.correct, "status": self.status.value,
            "visits": [visit.to_dict() for visit in self.visits], "refused": self.refused, "turns": self.turns,
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens, "seconds": self.seconds,
            "error": self.error, "reward": self.reward, "teacher": self.teacher,
        }  # fmt: skip
        return record | ({"measures": self.measures} if self.measures else {})

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], source: str | Path = "trajectory") -> "Trajectory":
        """Reads one record; keys of other programs are left out.

        Raises:
            InputError: a missing key, an unknown status, or messages, tools or visits that are no list.
        """
        if not isinstance(record, Mapping):
            raise InputError(source, "trajectory", record, "give a JSON object")
        for each in fields(cls):
            if each.name not in record and each.default is MISSING and each.default_factory is MISSING:
                raise InputError(source, each.name, None, "every trajectory needs this key")
        for key in ("messages", "tools", "visits"):
            if not isinstance(record[key], list):
                raise InputError(source, key, record[key], "give a list")
        if record["status"] not in list(Status):
            raise InputError(source, "status", record["status"], f"give one of {', '.join(Status)}")
        values = {each.name: record[each.name] for each in fields(cls) if each.name in record}
        values["status"] = Status(record["status"])
        values["visits"] = [Visit.from_dict(visit, source) for visit in record["visits"]]
        return cls(**values)


def read_trajectories(path: str | Path, cut_end: bool = False) -> Iterator[Trajectory]:
    """Trajectories of a JSONL file, one at a time.

    Args:
        path: The file.
        cut_end: See `read_jsonl`.

    Raises:
        InputError: with the file and line number.
    """
    for source, row in read_jsonl(path, "give a file of trajectories, one a line", cut_end):
        yield Trajectory.from_dict(row, source)


def repeats(visits: Sequence[Visit]) -> int:
    """How many visits repeat an earlier one: same tool, same segment, same query."""
    return len(visits) - len(set(visits))
