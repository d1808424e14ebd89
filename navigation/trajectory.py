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


@dataclass(frozen=True, slots=True)
class Lookup:
    """One executed `search` or `jump`: it names segments, opens none and is priced.

    `query` is what was asked for, in the policy's words; `within` the segment that was searched, () for the whole
    video; a jump has none.
    """

    tool: str
    query: str
    within: SegmentPath = ()

    def to_dict(self) -> dict[str, Any]:
        return {"tool": self.tool, "query": self.query, **({"within": list(self.within)} if self.within else {})}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], source: str | Path = "lookup") -> "Lookup":
        """Reads one record.

        Raises:
            InputError: no tool or query, or a segment that is no list of whole numbers.
        """
        if not isinstance(record, Mapping) or not all(isinstance(record.get(key), str) for key in ("tool", "query")):
            raise InputError(source, "lookups", record, "give objects with tool and query")
        within = record.get("within", [])
        if not isinstance(within, (list, tuple)) or not all(type(child) is int for child in within):
            raise InputError(source, "lookups", record, "give within as a list of whole numbers")
        return cls(record["tool"], record["query"], tuple(within))


@dataclass(slots=True)
class Trajectory:
    """One policy's episode on one question.

    `prediction` is a letter, or the answer in words to an open question. `refused` counts calls that were refused;
    `turns` counts assistant messages; `reward` holds raw values by part; `measures` holds what an evaluation measured,
    `verdict` what was said of an answer in words and by whom. They and `lookups` are not written where they are empty.
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
    lookups: list[Lookup] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """Whether it is known how right the answer is: a judge who cannot tell, or cannot be asked, decides nothing."""
        return not self.verdict or self.verdict.get("share") is not None

    def to_dict(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "id": self.id, "question_id": self.question_id, "video_id": self.video_id, "messages": self.messages,
            "tools": self.tools, "prediction": self.prediction, "correct": self.correct, "status": self.status.value,
            "visits": [visit.to_dict() for visit in self.visits], "refused": self.refused, "turns": self.turns,
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens, "seconds": self.seconds,
            "error": self.error, "reward": self.reward, "teacher": self.teacher,
        }  # fmt: skip
        if self.lookups:
            record["lookups"] = [lookup.to_dict() for lookup in self.lookups]
        more = {"measures": self.measures, "verdict": self.verdict}
        return record | {name: value for name, value in more.items() if value}

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
        if not isinstance(lookups := record.get("lookups", []), list):
            raise InputError(source, "lookups", lookups, "give a list")
        values["lookups"] = [Lookup.from_dict(lookup, source) for lookup in lookups]
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
