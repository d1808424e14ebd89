"""Everything that a page shows of one trajectory: its drawing, its turns, and why it earned what it did."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from clipscout.view.index import Row
from clipscout.view.trajectory_set import TrajectorySet
from evaluation.episode_view import EpisodeFigure, Turn, episode_figure, turns_of
from navigation import CaptionTree, InputError, Question, Trajectory
from navigation.errors import is_number
from rewards import Breakdown, explain
from rewards.answer import Verdict
from rewards.explain import VisitAccount


@dataclass(frozen=True, slots=True)
class TrajectoryPage:
    """One trajectory, ready for the template. What is not known (no question, no tree) is None or empty.

    Attributes:
        recorded: Reward parts as they stand in the record, by name.
        breakdown: The trajectory scored again with the run's settings, or the defaults.
        accounts: What each visit earned and cost by that breakdown.
        missing: Why there is no drawing or no account, in words; empty if both are there.
        raw: The record as indented JSON.
    """

    trajectories: TrajectorySet
    row: Row
    trajectory: Trajectory
    question: Question | None
    figure: EpisodeFigure | None
    turns: Sequence[Turn]
    recorded: Sequence[tuple[str, float]]
    breakdown: Breakdown | None
    accounts: Sequence[VisitAccount]
    missing: str
    raw: str


def trajectory_page(trajectories: TrajectorySet, number: int) -> TrajectoryPage:
    """Reads one trajectory.

    Raises:
        IndexError: no such row.
        InputError: its record, its question or its tree is broken.
    """
    if number < 0:
        raise IndexError(number)
    row = trajectories.rows[number]
    record = trajectories.offsets.record(row)
    trajectory = Trajectory.from_dict(record, trajectories.offsets.files[row.file])
    question, tree = trajectories.question(row), trajectories.tree(row)
    clues = question.clue_intervals if question is not None else ()
    breakdown, problem = _score(trajectories, trajectory, question, tree)
    accounts: Sequence[VisitAccount] = ()
    if breakdown is not None and tree is not None:
        accounts = explain(breakdown, tree.grid, trajectories.mix.settings.visit_cost)
    return TrajectoryPage(
        trajectories=trajectories,
        row=row,
        trajectory=trajectory,
        question=question,
        figure=episode_figure(tree, trajectory, clues) if tree is not None else None,
        turns=turns_of(trajectory, most_calls=None, longest=None),
        recorded=[(name.replace("_", " "), value) for name, value in trajectory.reward.items() if is_number(value)],
        breakdown=breakdown,
        accounts=accounts,
        missing=_missing(trajectories, question, tree) or problem,
        raw=json.dumps(record, ensure_ascii=False, indent=1),
    )


def _score(
    trajectories: TrajectorySet, trajectory: Trajectory, question: Question | None, tree: CaptionTree | None
) -> tuple[Breakdown | None, str]:
    """The trajectory scored again; or why that cannot be, as with visits of another tree than the one at hand."""
    if question is None or tree is None:
        return None, ""
    try:
        breakdown = trajectories.mix.score(
            question,
            tree.grid,
            trajectory.visits,
            trajectory.status,
            trajectory.prediction,
            trajectory.refused,
            keep_steps=True,
            verdict=Verdict.from_dict(trajectory.verdict) if trajectory.verdict else None,
        )
    except InputError as error:
        return None, f"Its reward cannot be explained: {error}."
    return breakdown, ""


def _missing(trajectories: TrajectorySet, question: Question | None, tree: CaptionTree | None) -> str:
    if question is not None and tree is not None:
        return ""
    what = "question and tree" if question is None and tree is None else "question" if question is None else "tree"
    if trajectories.corpus is None:
        return f"No {what}: give --data, the folder with questions.jsonl and trees/."
    return f"No {what} of this trajectory in {trajectories.corpus}: give another --data."
