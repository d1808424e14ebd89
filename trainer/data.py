"""From a traces folder, or the sets made of it, to what the trainers read, split by video."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from navigation import (
    DEFAULT_TOOLS,
    CaptionTree,
    InputError,
    Question,
    Status,
    Trajectory,
    TreeStore,
    initial_messages,
    read_jsonl,
    read_questions,
    tool_schemas,
)
from navigation.question import held_out
from navigation.tools import names_of
from trainer.conversation import conversation


@dataclass(frozen=True)
class TracesFolder:
    """A folder as `make traces` writes it: `questions.jsonl`, `trees/`, `trajectories.jsonl`.

    Args:
        folder: Where it is.
        held_out_share: Share of videos kept from training, 0 to below 1.
        tree_folder: Caption trees; None: `trees` in the folder.
        tools: What episodes have.
    """

    folder: Path
    held_out_share: float = 0.1
    tree_folder: Path | None = None
    tools: tuple[str, ...] = DEFAULT_TOOLS

    def __post_init__(self) -> None:
        for name, place in (("questions.jsonl", self.folder / "questions.jsonl"), ("trees", self._tree_folder)):
            if not place.exists():
                raise InputError(self.folder, "data", name, "not there: make this folder with `make traces` first")
        if not 0 <= self.held_out_share < 1:
            raise InputError("config", "held_out_share", self.held_out_share, "give a share from 0 to below 1")

    @property
    def _tree_folder(self) -> Path:
        return self.tree_folder or self.folder / "trees"

    @property
    def trees(self) -> TreeStore:
        return TreeStore(self._tree_folder, capacity=2000)

    def questions(self, held: bool) -> list[Question]:
        """Questions of the held-out videos, or of the others."""
        every = read_questions(self.folder / "questions.jsonl")
        return [question for question in every if held_out(question.video_id, self.held_out_share) == held]

    def sft_source(self, held: bool) -> str:
        """The file that the SFT rows come from."""
        return str(self.folder / "trajectories.jsonl")

    def trajectories(self, held: bool) -> Iterable[Trajectory]:
        """Trajectories that answer rightly, of the held-out videos or of the others."""
        return (trajectory for _, trajectory in self._placed(held))

    def _placed(self, held: bool) -> Iterable[tuple[str, Trajectory]]:
        """The same, each after its file and line."""
        path = Path(self.sft_source(held))
        if not path.is_file():
            raise InputError(self.folder, "data", path.name, "not there: make this folder with `make traces` first")
        for place, row in read_jsonl(path, "give a file of trajectories, one a line"):
            trajectory = Trajectory.from_dict(row, place)
            right = trajectory.correct and trajectory.status is Status.ANSWERED
            if right and held_out(trajectory.video_id, self.held_out_share) == held:
                yield place, trajectory

    def sft_dataset(self, held: bool) -> Dataset:
        """Rows of `messages` and `tools`, as `trl sft` takes them.

        Raises:
            InputError: no trajectory is left, or one holds what would not be trained on.
        """
        # JSON columns, because tool arguments differ in shape from call to call and Arrow has one type a column.
        rows = [
            conversation({"messages": trajectory.messages, "tools": tool_schemas(self.tools)}, place)
            for place, trajectory in self._placed(held)
            if check_tools(trajectory.tools, self.tools, place)
        ]
        if not rows and not held:
            raise InputError(self.folder, "trajectories.jsonl", 0, "no right trajectory of a training video is in it")
        return Dataset.from_list(rows, on_mixed_types="use_json") if rows else Dataset.from_list([])

    def rl_dataset(self, held: bool) -> Dataset:
        """Rows of `prompt` and the question's columns, as GRPO takes them."""
        return _rl_rows(self, held)


@dataclass(frozen=True)
class SetsFolder:
    """A folder as `clipscout dataset` writes it: `sft/` and `rl/`, filtered, with their own split by video.

    Args:
        folder: Where it is.
        tree_folder: Caption trees; None: `trees` in the folder, or beside it as `make dataset` has it.
        tools: What episodes have.
    """

    folder: Path
    tree_folder: Path | None = None
    tools: tuple[str, ...] = DEFAULT_TOOLS

    def sft_source(self, held: bool) -> str:
        """The file that the SFT rows come from."""
        return str(self._file("sft", held))

    def _file(self, stage: str, held: bool) -> Path:
        return self.folder / stage / ("test.parquet" if held else "train.parquet")

    @property
    def trees(self) -> TreeStore:
        places = [self.folder / "trees", self.folder.resolve().parent / "trees"]
        found = self.tree_folder or next((place for place in places if place.is_dir()), None)
        if found is None or not found.is_dir():
            raise InputError(self.folder, "trees", str(found or places[1]), "not there: name their folder by `trees`")
        return TreeStore(found, capacity=2000)

    def questions(self, held: bool) -> list[Question]:
        """Questions of the RL set's test split, or of its training split."""
        rows = self._rows("rl", held)
        known = Question.__dataclass_fields__.keys() & set(rows.column_names)
        return [Question.from_dict(row, str(self.folder)) for row in rows.select_columns(sorted(known))]

    def sft_dataset(self, held: bool) -> Dataset:
        """Rows of `messages` and `tools`, as `trl sft` takes them."""
        rows = self._rows("sft", held)
        for place, schemas in enumerate(rows["tools"] if len(rows) else ()):
            check_tools(schemas, self.tools, f"{self.sft_source(held)} row {place}")
        return rows.select_columns(["messages", "tools"]) if len(rows) else rows

    def rl_dataset(self, held: bool) -> Dataset:
        """Rows of `prompt` and the question's columns, as GRPO takes them."""
        return _rl_rows(self, held)

    def _rows(self, stage: str, held: bool) -> Dataset:
        path = self._file(stage, held)
        if path.is_file():
            return Dataset.from_parquet(str(path))
        if held:
            return Dataset.from_list([])
        raise InputError(self.folder, "data", str(path), "not there: make the sets with `clipscout dataset`")


def open_data(
    folder: Path, held_out_share: float, tree_folder: Path | None = None, tools: tuple[str, ...] = DEFAULT_TOOLS
) -> TracesFolder | SetsFolder:
    """What a run trains on: sets, where the folder holds them and no trajectories, else a traces folder."""
    if (folder / "sft" / "train.parquet").is_file() and not (folder / "trajectories.jsonl").is_file():
        return SetsFolder(folder, tree_folder, tools)
    return TracesFolder(folder, held_out_share, tree_folder, tools)


def check_tools(schemas: Any, tools: tuple[str, ...], source: str) -> bool:
    """True; refuses a trajectory that was played with other tools than the run's: its prompt is another one.

    Raises:
        InputError: see above.
    """
    played = names_of(json.loads(schemas) if isinstance(schemas, str) else schemas or ())
    if played and played != tools:
        raise InputError(
            source, "tools", ",".join(played), f"set tools to these, or train on others: {','.join(tools)}"
        )
    return True


def rl_row(question: Question, tree: CaptionTree, tools: tuple[str, ...] = DEFAULT_TOOLS) -> dict:
    """A GRPO row. The environment reads `video_id` alone; the rewards read the rest."""
    row = question.to_dict()
    row["prompt"] = initial_messages(question, tree, tools)
    return row


def _rl_rows(data: TracesFolder | SetsFolder, held: bool) -> Dataset:
    """Rows of `prompt` and the questions' columns; `references` is a column where any question has some."""
    trees = data.trees
    rows = [rl_row(each, trees[each.video_id], data.tools) for each in data.questions(held)]
    if any("references" in row for row in rows):
        # The columns are those of the first row.
        rows = [{**row, "references": row.get("references", [])} for row in rows]
    return Dataset.from_list(rows)
