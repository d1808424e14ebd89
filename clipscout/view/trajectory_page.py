"""Everything that a page shows of one trajectory: the episode, a segment of it, and why it earned what it did."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from clipscout.view.index import Row
from clipscout.view.trajectory_set import TrajectorySet
from evaluation.episode_view import EpisodeView, episode_view
from evaluation.style import number as figure
from navigation import CaptionTree, InputError, Line, Question, SegmentPath, Trajectory
from rewards import Breakdown, explain
from rewards.answer import Verdict
from rewards.explain import VisitAccount

_MOST_LINES = 60


@dataclass(frozen=True, slots=True)
class SegmentView:
    """One segment of an episode's tree; `clue` is how many seconds of it are clue time.

    Attributes:
        visits: Numbers of the visits that opened it.
        before, after: Its neighbours on its level, or None.
        parts: Of the next level, with their captions.
    """

    path: SegmentPath
    start: float
    end: float
    depth: int
    caption: str | None
    clue: float
    visits: Sequence[int]
    lines: Sequence[Line]
    before: SegmentPath | None
    after: SegmentPath | None
    parts: Sequence[tuple[SegmentPath, str]]


@dataclass(frozen=True, slots=True)
class TrajectoryPage:
    """One trajectory, ready for the template. What is not known (no question, no tree) is None or empty.

    Attributes:
        breakdown: The trajectory scored again with the run's settings, or the defaults.
        accounts: What each visit earned and cost by that breakdown.
        raw: The record as indented JSON.
        segment: The segment that was asked for.
    """

    trajectories: TrajectorySet
    row: Row
    episode: EpisodeView
    question: Question | None
    breakdown: Breakdown | None
    accounts: Sequence[VisitAccount]
    raw: str
    segment: SegmentView | None = None


def trajectory_page(
    trajectories: TrajectorySet, number: int, anchor: str = "", segment: SegmentPath | None = None
) -> TrajectoryPage:
    """Reads one trajectory.

    Args:
        trajectories: Its set.
        number: Of its row.
        anchor: Before every id that it gets in the page.
        segment: One of its tree, to be shown.

    Raises:
        IndexError: no such row, or no such segment.
        InputError: its record, its question or its tree is broken.
    """
    row = trajectories.rows[number]
    record = trajectories.offsets.record(row)
    trajectory = Trajectory.from_dict(record, trajectories.offsets.files[row.file])
    question, tree = trajectories.question(row), trajectories.tree(row)
    breakdown, problem = _score(trajectories, trajectory, question, tree)
    accounts: Sequence[VisitAccount] = ()
    if breakdown is not None and tree is not None:
        accounts = explain(breakdown, tree.grid, trajectories.mix.settings.visit_cost)
    episode = episode_view(
        trajectories.name,
        trajectory,
        tree,
        question.clue_intervals if question is not None else (),
        whole=True,
        anchor=anchor,
        facts=_facts(row),
        missing=_missing(trajectories, question, tree) or problem,
    )
    return TrajectoryPage(
        trajectories=trajectories,
        row=row,
        episode=episode,
        question=question,
        breakdown=breakdown,
        accounts=accounts,
        raw=json.dumps(record, ensure_ascii=False, indent=1),
        segment=_segment(tree, trajectory, question, segment) if segment is not None else None,
    )


def _facts(row: Row) -> list[str]:
    """What the index knows beyond visits and turns."""
    found = []
    if row.prompt_tokens:
        found.append(f"{figure(row.prompt_tokens)} + {figure(row.completion_tokens)} tokens")
    if row.step is not None:
        found.append(f"step {row.step}")
    if row.group is not None:
        found.append(f"group {row.group}")
    if row.advantage is not None:
        found.append(f"advantage {row.advantage:+.3f}")
    return found


def _segment(
    tree: CaptionTree | None, trajectory: Trajectory, question: Question | None, path: SegmentPath
) -> SegmentView:
    if tree is None or not tree.grid.contains(path):
        raise IndexError(path)
    grid, index, last = tree.grid, tree.grid.index(path), tree.grid.width ** len(path) - 1
    start, end = grid.interval(path)
    clues = question.clue_intervals if question is not None else ()
    parts = [] if grid.is_leaf(path) else [(*path, part) for part in range(1, grid.width + 1)]
    return SegmentView(
        path=path,
        start=start,
        end=end,
        depth=grid.depth,
        caption=tree.captions.get(path),
        clue=sum(max(0.0, min(end, finish) - max(start, begin)) for begin, finish in clues),
        visits=[number for number, visit in enumerate(trajectory.visits, 1) if visit.path == path],
        lines=tree.lines_in(path)[:_MOST_LINES],
        before=grid.path(index - 1, len(path)) if index else None,
        after=grid.path(index + 1, len(path)) if index < last else None,
        parts=[(part, tree.captions.get(part, "")) for part in parts],
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
            lookups=trajectory.lookups,
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
