"""The trajectories of one run (or one policy, or one training), with the questions and trees they are about."""

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from clipscout.view.index import Offsets, Row, file_stamp
from navigation import CaptionTree, InputError, Question, TreeStore
from rewards import RewardMix

# A row as `Question.to_dict` writes it, up to the question, none of the three with an escape in it; and its kind.
_HEAD = re.compile(rb'\{"id": "([^"\\]*)", "video_id": "[^"\\]*", "question": "([^"\\]*)"')
_KIND = re.compile(rb'"kind": "([^"\\]*)"\}\s*')


class QuestionFile:
    """A `questions.jsonl`.

    Args:
        path: The file; None where there is none: every lookup then finds nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.texts: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        self._places: dict[str, tuple[int, int, int]] = {}
        self._stamp = None if path is None else file_stamp(path.stat())
        if path is not None:
            self._index(path)

    def changed(self) -> bool:
        """Whether the file is no longer the one that was read."""
        return self.path is not None and file_stamp(self.path.stat()) != self._stamp

    def get(self, question_id: str) -> Question | None:
        """The question, or None if this file does not hold it.

        Raises:
            InputError: it is there and no question.
        """
        place = self._places.get(question_id)
        if place is None or self.path is None:
            return None
        with open(self.path, "rb") as file:
            file.seek(place[0])
            return Question.from_dict(json.loads(file.read(place[1])), f"{self.path}:{place[2]}")

    def _index(self, path: Path) -> None:
        place = 0
        with open(path, "rb", 1 << 20) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    key, text, kind = _quickly(line) or _wholly(line, f"{path}:{number}")
                    self._places[key] = (place, len(line), number)
                    self.texts[key], self.kinds[key] = text, kind
                place += len(line)


def _quickly(line: bytes) -> tuple[str, str, str] | None:
    """Id, text and kind of a plainly written row, without reading its options and clues: four times faster."""
    head = _HEAD.match(line)
    # Inside a JSON text a quotation mark follows a backslash: the last key of this name is the row's.
    kind = _KIND.fullmatch(line, max(0, line.rfind(b'"kind": ')))
    if head is None or kind is None:
        return None
    try:
        return head.group(1).decode(), head.group(2).decode(), kind.group(1).decode()
    except UnicodeDecodeError:
        return None


def _wholly(line: bytes, source: str) -> tuple[str, str, str]:
    try:
        row: Any = json.loads(line)
        return str(row["id"]), str(row["question"]), str(row.get("kind") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(source, "line", line[:60].decode(errors="replace"), "give one question a line") from None


class TrajectorySet:
    """Named trajectories.

    Args:
        name: Shown, and given on the command line.
        files: JSONL files of trajectories; or what lists them, where a run adds some.
        corpus: Folder with `questions.jsonl` and `trees/`; None: trajectories are shown without question and drawing.
        mix: Recorded reward settings; None: the default mix explains the reward.
        folder: Of the run.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[Path] | Callable[[], Sequence[Path]],
        corpus: Path | None,
        mix: RewardMix | None = None,
        folder: Path = Path(),
    ) -> None:
        self.name, self.corpus, self.folder = name, corpus, folder
        self.offsets = Offsets(files)
        self.mix = mix or RewardMix()
        self.mix_recorded = mix is not None
        self.trees = TreeStore(corpus / "trees", capacity=8) if corpus is not None else None
        self._grouped: tuple[list[Row], dict[str, list[int]]] = ([], {})
        self._named: tuple[list[Row], dict[str, list[int]]] = ([], {})

    @cached_property
    def questions(self) -> QuestionFile:
        return QuestionFile(self.corpus / "questions.jsonl" if self.corpus is not None else None)

    def refresh(self) -> None:
        """Takes in what changed in the files of trajectories and of questions since the last call."""
        self.offsets.refresh()
        if "questions" in self.__dict__ and self.questions.changed():
            del self.questions

    @property
    def rows(self) -> list[Row]:
        return self.offsets.rows

    def by_question(self) -> dict[str, list[int]]:
        """Numbers of the rows of each question, in order."""
        # One assignment, of a finished mapping: threads may ask at once. Changed rows are another list.
        if self._grouped[0] is not self.rows:
            self._grouped = self.rows, _grouped(self.rows, lambda row: row.question_id)
        return self._grouped[1]

    def address(self, number: int) -> dict[str, str | int]:
        """What names a row in an address: its id, and which of those with this id it is where there are several."""
        key = _in_address(self.rows[number].id)
        alike = self._by_id()[key]
        return {"id": key} if len(alike) == 1 else {"id": key, "nth": alike.index(number) + 1}

    def number(self, trajectory_id: str, nth: int = 1) -> int:
        """The row that an address names.

        Raises:
            IndexError: none.
        """
        if nth < 1:
            raise IndexError(nth)
        return self._by_id().get(trajectory_id, [])[nth - 1]

    def _by_id(self) -> dict[str, list[int]]:
        if self._named[0] is not self.rows:
            self._named = self.rows, _grouped(self.rows, lambda row: _in_address(row.id))
        return self._named[1]

    def question(self, row: Row) -> Question | None:
        return self.questions.get(row.question_id)

    def tree(self, row: Row) -> CaptionTree | None:
        if self.trees is None or row.video_id not in self.trees:
            return None
        return self.trees[row.video_id]


def _grouped(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(key(row), []).append(number)
    return groups


def _in_address(text: str) -> str:
    """What is left of a text in an address: half a surrogate pair cannot be sent."""
    return text.encode("utf-8", "replace").decode()
