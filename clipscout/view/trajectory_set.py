"""The trajectories of one run (or one policy, or one training), with the questions and trees they are about."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml

from clipscout.view.index import Offsets, Row, file_stamp
from navigation import CaptionTree, InputError, Question, TreeStore
from rewards import RewardMix

TRAJECTORIES, ROLLOUTS = "trajectories.jsonl", "rollouts"
_DEEPEST = 4
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
    """

    def __init__(
        self,
        name: str,
        files: Sequence[Path] | Callable[[], Sequence[Path]],
        corpus: Path | None,
        mix: RewardMix | None = None,
    ) -> None:
        self.name, self.corpus = name, corpus
        self.offsets = Offsets(files)
        self.mix = mix or RewardMix()
        self.mix_recorded = mix is not None
        self.trees = TreeStore(corpus / "trees", capacity=8) if corpus is not None else None
        self._grouped: tuple[list[Row], dict[str, list[int]]] = ([], {})

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
        rows, grouped = self._grouped
        if rows is not self.rows:
            rows, grouped = self.rows, {}
            for number, row in enumerate(rows):
                grouped.setdefault(row.question_id, []).append(number)
            self._grouped = rows, grouped
        return grouped

    def question(self, row: Row) -> Question | None:
        return self.questions.get(row.question_id)

    def tree(self, row: Row) -> CaptionTree | None:
        if self.trees is None or row.video_id not in self.trees:
            return None
        return self.trees[row.video_id]


def find_sets(run: Path, corpus: Path | None = None) -> list[TrajectorySet]:
    """Every set of trajectories in a run's folder, or the one in a JSONL file.

    Args:
        run: A file; or a folder with `trajectories.jsonl` or `rollouts/` in it or up to four levels below.
        corpus: Where the questions and trees are; default: looked for beside the trajectories.

    Raises:
        InputError: nothing there, or no trajectories in it.
    """
    if run.is_file():
        return [_set(run.name, [run], run.parent, corpus)]
    if not run.is_dir():
        raise InputError(run, "run", str(run), "give a folder or JSONL file that exists")
    sets = []
    for folder in _folders(run):
        name = folder.name if folder == run else f"{run.name}/{folder.relative_to(run).as_posix()}"
        rollouts = partial(_rollouts, folder / ROLLOUTS)
        if (folder / TRAJECTORIES).is_file():
            sets.append(_set(name, [folder / TRAJECTORIES], folder, corpus))
        if rollouts():
            sets.append(_set(f"{name}/{ROLLOUTS}", rollouts, folder, corpus))
    if not sets:
        hint = f"give a folder with {TRAJECTORIES} or {ROLLOUTS}/*.jsonl in it, or such a file"
        raise InputError(run, "run", "no trajectories", hint)
    return sets


def _folders(folder: Path, depth: int = 0) -> Iterator[Path]:
    yield folder
    if depth < _DEEPEST:
        for below in sorted(folder.iterdir()):
            if below.is_dir() and not below.is_symlink() and below.name not in ("trees", ROLLOUTS):
                yield from _folders(below, depth + 1)


def _rollouts(folder: Path) -> list[Path]:
    """A training's files, one a step: it adds more while it runs."""
    return sorted(folder.glob("*.jsonl"), key=_in_order)


def _in_order(path: Path) -> tuple[int, str]:
    digits = "".join(sign for sign in path.stem if sign.isdigit() and sign.isascii())
    return int(digits[-18:] or 0), path.name


def _set(
    name: str, files: Sequence[Path] | Callable[[], Sequence[Path]], folder: Path, corpus: Path | None
) -> TrajectorySet:
    config = _yaml(folder / "resolved_config.yaml") or _yaml(folder / "settings.json")
    return TrajectorySet(name, files, corpus or _corpus(folder, config.get("data")), _mix(config))


def _corpus(folder: Path, data: object) -> Path | None:
    """The nearest folder of questions and trees: the trajectories' own, the one their config names, or one beside a
    parent."""
    places = [folder, folder / "corpus"]
    if isinstance(data, str):
        places += [Path(data), folder / data]
    for parent in list(folder.resolve().parents)[:3]:
        places += [parent, parent / "traces", parent / "corpus"]
    return next((place for place in places if (place / "questions.jsonl").is_file()), None)


def _yaml(path: Path) -> dict[str, Any]:
    """A settings file's mapping; empty where there is none. JSON is YAML."""
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return record if isinstance(record, dict) else {}


def _mix(config: dict[str, Any]) -> RewardMix | None:
    settings = config.get("reward") or config.get("mix")
    if not isinstance(settings, dict):
        return None
    try:
        return RewardMix.from_config(settings)
    except InputError:  # of another version: the default mix explains, and the page says so
        return None
