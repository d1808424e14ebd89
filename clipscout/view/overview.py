"""What all runs come to: a line each with its figures, by kind of question, and the curves of trainings."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from clipscout.view.index import Row, file_stamp
from clipscout.view.runs import METRICS_FILE, ROLLOUTS, Runs, named
from clipscout.view.trajectory_set import TrajectorySet
from evaluation.metrics import METRICS, by_kind, figures, kinds_of
from evaluation.result import labels_of
from evaluation.style import colour_class, in_order, number
from navigation import InputError, Status, read_jsonl

COLUMNS = ("accuracy", "visits", "visit_cost", "grounding", "reward", "turns", "n")
"""Of the table of runs, by which it can be sorted; with `-` behind them the highest comes first."""
SUMMARY = "summary.json"
FIGURES = (*METRICS, "reward")
ROLES = ("evaluation", "training", "source")
_MOST_RESAMPLED = 5000


@dataclass(frozen=True, slots=True)
class Run:
    """One set's figures as `metrics.summarise` names them, and what the set is for.

    `role` is `evaluation`, `training` (rollouts) or `source` (what a training learns from); `questions` are the ids
    that were asked. `label` is the shortest end of the name that no other run of the overview has.
    """

    trajectories: TrajectorySet
    role: str
    questions: frozenset[str]
    summary: Mapping[str, Any]
    label: str = ""
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Evaluations on the same questions."""

    runs: list[Run]
    questions: int
    videos: int

    @property
    def title(self) -> str:
        """For people: how much was asked."""
        questions, videos = (
            f"{number(count)} {what}{'s' * (count != 1)}"
            for count, what in ((self.questions, "question"), (self.videos, "video"))
        )
        return f"{questions} on {videos}"

    @property
    def kinds(self) -> list[tuple[str, int]]:
        return kinds_of(run.summary for run in self.runs)


class Overview:
    """Figures of runs, kept until their files change.

    Args:
        runs: The runs.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._kept: dict[str, tuple[Any, Any]] = {}

    def table(self, order: str = "") -> list[Run]:
        """Every run, evaluations first; or in the order of a column.

        Raises:
            InputError: no such column.
        """
        name = order.removesuffix("-")
        if order and name not in ("name", *COLUMNS):
            raise InputError("view", "order", order[:80], f"give one of name, {', '.join(COLUMNS)}")
        for each in self.runs.sets:
            each.refresh()
        found = [self.run(each) for each in self.runs.sets]
        labels = dict(zip(self.runs.names, short_names(self.runs.names), strict=True))
        coloured: list[Run] = []
        for members in _groups(found).values():
            known = in_order(run.trajectories.name for run in members)
            for run in members:
                colour = "other"
                if run.role == "evaluation":
                    colour = colour_class(run.trajectories.name, known.index(run.trajectories.name))
                coloured.append(replace(run, label=labels[run.trajectories.name], colour=colour))
        known = in_order(run.trajectories.name for run in coloured)
        coloured.sort(key=lambda run: (ROLES.index(run.role), known.index(run.trajectories.name)))
        if name == "name":
            coloured.sort(key=lambda run: run.label, reverse=order.endswith("-"))
        elif order:
            # What has no value stands last in both directions.
            sign = -1 if order.endswith("-") else 1
            coloured.sort(key=lambda run: (run.summary[name] is None, sign * (run.summary[name] or 0.0)))
        return coloured

    def groups(self, table: Sequence[Run]) -> list[Group]:
        """The evaluations of a table that were asked the same questions, most runs first."""
        found = [
            Group(members, len(questions), len({row.video_id for row in members[0].trajectories.rows}))
            for (role, questions), members in _groups(table).items()
            if role == "evaluation" and questions
        ]
        return sorted(found, key=lambda group: -len(group.runs))

    def chance(self, group: Group) -> float | None:
        """How often guessing is right; None if the questions are not at hand."""
        trajectories = group.runs[0].trajectories
        questions = [trajectories.questions.get(each) for each in trajectories.by_question()]
        known = [each.chance for each in questions if each is not None]
        return fmean(known) if known else None

    def run(self, trajectories: TrajectorySet) -> Run:
        """One run's figures."""
        rows, kinds = trajectories.rows, trajectories.questions.kinds
        path = trajectories.folder / SUMMARY
        stamp = file_stamp(path.stat()) if path.is_file() else None
        return self.kept(trajectories.name, (rows, kinds, stamp), lambda: _run(trajectories, rows, kinds))

    def trainings(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of metrics by training, the latest first; from its rollouts where a training wrote no metrics."""
        folders = sorted(self.runs.trainings.items(), key=lambda item: -(item[1] / METRICS_FILE).stat().st_mtime)
        found = {name: metrics_of(folder) for name, folder in folders}
        for each in self.runs.sets:
            name = each.name.removesuffix(f"/{ROLLOUTS}")
            if role_of(each) == "training" and each.folder not in self.runs.trainings.values():
                found[name] = by_step(each.rows)
        return found

    def training(self, name: str) -> tuple[str, list[dict[str, Any]]]:
        """A training's name here and its rows.

        Raises:
            InputError: none of this name, or several.
        """
        found = self.trainings()
        name = named(name, found)
        return name, found[name]

    def kept(self, name: str, of: Any, make: Callable[[], Any]) -> Any:
        """What was made of the same things before, or made now."""
        before = self._kept.get(name)
        if before is None or before[0] != of:
            before = self._kept[name] = of, make()
        return before[1]


def role_of(trajectories: TrajectorySet) -> str:
    """What a set is for, by where it lies."""
    if trajectories.name.endswith(f"/{ROLLOUTS}"):
        return "training"
    return "source" if (trajectories.folder / "questions.jsonl").is_file() else "evaluation"


def _groups(runs: Iterable[Run]) -> dict[tuple[str, frozenset[str]], list[Run]]:
    groups: dict[tuple[str, frozenset[str]], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.role, run.questions), []).append(run)
    return groups


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    """Rows of a training's metrics. A last line that is being written is left out."""
    return [row for _, row in read_jsonl(folder / METRICS_FILE, cut_end=True)]


def by_step(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A training's curves from its rollouts: right answers, visits and reward of each step."""
    steps: dict[int, list[Row]] = {}
    for row in rows:
        if row.step is not None:
            steps.setdefault(row.step, []).append(row)
    found = []
    for step, members in sorted(steps.items()):
        totals = [row.total for row in members if row.total is not None]
        decided = [row.correct for row in members if row.decided]
        found.append(
            {"step": step}
            | ({"accuracy": fmean(decided)} if decided else {})
            | {"visits": fmean(row.visits for row in members)}
            | ({"reward": fmean(totals)} if totals else {})
        )
    return found


def _run(trajectories: TrajectorySet, rows: Sequence[Row], kinds: Mapping[str, str]) -> Run:
    role = role_of(trajectories)
    groups = [row.question_id for row in rows]
    questions = frozenset(groups)
    values = [_values(row) for row in rows]
    summary: dict[str, Any]
    if recorded := _recorded(trajectories, rows) if role == "evaluation" else {}:
        summary = recorded | figures(values, groups, ("reward",))
    elif role == "evaluation" and len(questions) <= _MOST_RESAMPLED:
        summary = figures(values, groups, FIGURES)
        summary["by_kind"] = by_kind(values, groups, [labels_of(kinds.get(group, "")) for group in groups])
    else:
        present = {name: [value for each in values if (value := each[name]) is not None] for name in FIGURES}
        summary = {name: fmean(found) if found else None for name, found in present.items()}
    statuses = Counter(row.status for row in rows)
    summary |= {"n": len(rows), "questions": len(questions), "answered": statuses[Status.ANSWERED]}
    summary["statuses"] = {status.value: statuses[status.value] for status in Status}
    return Run(trajectories, role, questions, summary)


def _recorded(trajectories: TrajectorySet, rows: Sequence[Row]) -> dict[str, Any]:
    """What the evaluation's own summary says of these rows, what an index costs among it; empty where it is older or
    none."""
    path = trajectories.folder / SUMMARY
    if not path.is_file() or any(path.stat().st_mtime < file.stat().st_mtime for file in trajectories.offsets.files):
        return {}
    try:
        (found,) = json.loads(path.read_text(encoding="utf-8"))["policies"].values()
        return dict(found) if found["n"] == len(rows) and found["by_kind"] else {}
    except (ValueError, KeyError, TypeError, AttributeError):  # of another hand: the rows say it themselves
        return {}


def _values(row: Row) -> dict[str, float | None]:
    return {
        "accuracy": float(row.correct and row.status == Status.ANSWERED) if row.decided else None,
        "visits": row.visits,
        "visit_cost": row.cost,
        "grounding": row.grounding,
        "turns": row.turns,
        "refused": row.refused,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "reward": row.total,
    }


def short_names(names: Sequence[str]) -> list[str]:
    """The shortest end of each name that no other has, in whole parts; of rollouts, with the folder they are in."""
    found = []
    for name in names:
        parts = name.split("/")
        least = 2 if parts[-1] == ROLLOUTS else 1
        for count in range(min(least, len(parts)), len(parts) + 1):
            end = "/".join(parts[-count:])
            if sum(f"/{other}".endswith(f"/{end}") for other in names) == 1:
                break
        found.append(end)
    return found
