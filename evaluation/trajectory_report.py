"""The report of a set of trajectories: one self-contained page with figures, reasons and random ones to read."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from markupsafe import Markup

from data_gen.filters import FilterReport, FilterSettings, faults, filter_trajectories, find_leaks
from data_gen.filters.rejection import is_right
from evaluation.drawing import STYLE, new_figure, to_svg
from evaluation.style import SERIES, template
from longvideo_r1.turns import call_text
from navigation import (
    VIDEO_QA,
    Question,
    Trajectory,
    TreeStore,
    read_jsonl,
    read_questions,
    read_trajectories,
    split_prompt,
    write_atomic,
)
from navigation.grid import clock


@dataclass(slots=True)
class SetFigures:
    """Counts over all trajectories; `depth` counts visits by level, `sample` holds the trajectories to read."""

    trajectories: int = 0
    statuses: Counter = field(default_factory=Counter)
    terminations: Counter = field(default_factory=Counter)
    turns: Counter = field(default_factory=Counter)
    visits: Counter = field(default_factory=Counter)
    tools: Counter = field(default_factory=Counter)
    depth: Counter = field(default_factory=Counter)
    hints: Counter = field(default_factory=Counter)
    tokens: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    malformed: int = 0
    dropped_calls: int = 0
    with_video_qa: int = 0
    models: Counter = field(default_factory=Counter)
    sample: list[Trajectory] = field(default_factory=list)


def gather(
    trajectories: Iterable[Trajectory], figures: SetFigures, shown: int = 20, seed: int = 0
) -> Iterator[Trajectory]:
    """Passes trajectories on and counts them; keeps `shown` of them, each with equal chance (reservoir sampling, Vitter
    1985)."""
    chance = random.Random(seed)
    for number, trajectory in enumerate(trajectories):
        figures.trajectories += 1
        figures.statuses[trajectory.status.value] += 1
        figures.turns[trajectory.turns] += 1
        figures.visits[len(trajectory.visits)] += 1
        figures.tools.update(visit.tool for visit in trajectory.visits)
        figures.depth.update(len(visit.path) for visit in trajectory.visits)
        figures.with_video_qa += any(visit.tool == VIDEO_QA for visit in trajectory.visits)
        teacher = trajectory.teacher
        unnamed = "undecided" if not trajectory.decided else "right" if trajectory.correct else "wrong"
        figures.terminations[str(teacher.get("termination") or teacher.get("end") or unnamed)] += 1
        figures.hints[int(teacher.get("hints", 0))] += 1
        figures.models[str(teacher.get("model", ""))] += 1
        figures.tokens.append(trajectory.completion_tokens)
        figures.prompt_tokens += trajectory.prompt_tokens
        figures.completion_tokens += trajectory.completion_tokens
        figures.usd += float(teacher.get("usd", 0.0))
        figures.malformed += int(teacher.get("malformed", 0))
        figures.dropped_calls += int(teacher.get("dropped_calls", 0))
        if len(figures.sample) < shown:
            figures.sample.append(trajectory)
        elif (place := chance.randint(0, number)) < shown:
            figures.sample[place] = trajectory
        yield trajectory


_BAR = SERIES[0]
_LONGEST = 22


def histogram(name: str, counts: Mapping[int, int], label: str) -> str:
    """Whole numbers by how often they occur; above 30 different values they are put into bins of equal width."""
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    width = -(-(high - low + 1) // 30)
    bins = [0] * ((high - low) // width + 1)
    for value, count in counts.items():
        bins[(value - low) // width] += count
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.5)
        axes.bar(
            [low + width * (place + (0.5 if width > 1 else 0)) for place in range(len(bins))],
            bins,
            0.85 * width,
            color=_BAR,
        )
        axes.set_xlabel(label)
        axes.set_ylabel("trajectories")
        axes.grid(False, axis="x")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.get_major_locator().set_params(integer=True, nbins=5)
        return to_svg(figure, name)


def bars(name: str, counts: Mapping[str, int], label: str) -> str:
    """Named counts as lying bars, in the order given, each with its number."""
    if not counts:
        return ""
    with matplotlib.rc_context(STYLE):
        rows = len(counts)
        figure, axes = new_figure(4.6, 0.34 + 0.36 * rows)
        names = [key if len(key) <= _LONGEST else key[: _LONGEST - 1] + "…" for key in counts]
        places = range(len(counts))
        axes.barh(places, list(counts.values()), 0.7, color=_BAR)
        axes.set_yticks(places, names)
        axes.set_ylim(rows - 0.5, -0.5)
        most = max(counts.values())
        for place, count in enumerate(counts.values()):
            axes.annotate(f"{count:,}", (count, place), (4, 0), textcoords="offset points", va="center")
        axes.set_xlim(0, most * 1.22 or 1)
        axes.set_xticks([])
        axes.grid(False)
        axes.spines["bottom"].set_visible(False)
        axes.set_xlabel(label)
        return to_svg(figure, name)


def write_report(
    folder: str | Path, path: str | Path, settings: FilterSettings | None = None, shown: int = 20, seed: int = 0
) -> dict[str, Any]:
    """Reads a traces folder once and writes the page.

    Args:
        folder: Holds `questions.jsonl`, `trees/`, `trajectories.jsonl` and perhaps `failed.jsonl`.
        path: The HTML file.
        settings: Of the filter whose reasons are shown.
        shown: Random trajectories to read.
        seed: Chooses them.

    Returns:
        The figures of the page.
    """
    folder, settings = Path(folder), settings or FilterSettings()
    questions = {question.id: question for question in read_questions(folder / "questions.jsonl")}
    trees = TreeStore(folder / "trees", capacity=64)
    figures, kept = SetFigures(), FilterReport()
    trajectories = gather(read_trajectories(folder / "trajectories.jsonl"), figures, shown, seed)
    for _ in filter_trajectories(trajectories, questions, trees, settings, kept):
        pass
    failed = [row for _, row in read_jsonl(folder / "failed.jsonl")] if (folder / "failed.jsonl").is_file() else []
    told = _told(figures, kept, len(failed))
    page = template("trajectories.html").render(
        folder=folder.resolve().name,
        told=told,
        failed=_reasons(failed),
        pictures=_pictures(figures, kept),
        models=", ".join(sorted(filter(None, figures.models))) or "unnamed",
        trajectories=[
            _shown(trajectory, questions[trajectory.question_id], trees, settings) for trajectory in figures.sample
        ],
    )
    write_atomic(path, page)
    return told


def _told(figures: SetFigures, kept: FilterReport, failed: int) -> dict[str, Any]:
    trajectories = max(1, figures.trajectories)
    visits = sum(figures.tools.values())
    return {
        "trajectories": figures.trajectories,
        "failed": failed,
        "right": kept.right,
        "kept": kept.kept,
        "closed_book_share": kept.closed_book_share,
        "closed_book": kept.closed_book,
        "turns": sum(number * count for number, count in figures.turns.items()) / trajectories,
        "visits": visits / trajectories,
        "video_qa_share": figures.with_video_qa / trajectories,
        "hinted_share": 1 - figures.hints[0] / trajectories,
        "prompt_tokens": figures.prompt_tokens,
        "completion_tokens": figures.completion_tokens,
        "median_tokens": median(figures.tokens) if figures.tokens else 0,
        "usd": figures.usd,
        "usd_a_kept_trajectory": figures.usd / kept.kept if kept.kept else None,
        "malformed": figures.malformed,
        "dropped_calls": figures.dropped_calls,
        "dropped": kept.to_dict()["dropped"],
        "found": kept.to_dict()["found"],
    }


def _pictures(figures: SetFigures, kept: FilterReport) -> list[tuple[str, Markup]]:
    """Titles and drawings; the drawings are ours, so they are not escaped."""
    drawn = [
        ("Why episodes ended", bars("terminations", dict(figures.terminations.most_common()), "trajectories")),
        (
            "Why trajectories were dropped",
            bars("dropped", kept.to_dict()["dropped"], "trajectories, by the first reason"),
        ),
        ("Turns of a trajectory", histogram("turns", figures.turns, "assistant messages")),
        ("Visits of a trajectory", histogram("visits", figures.visits, "executed calls")),
        ("Hints before the answer", histogram("hints", figures.hints, "hints")),
        ("Visits by tool", bars("tools", dict(figures.tools.most_common()), "visits")),
        (
            "Visits by level",
            bars("depth", {f"level {level}": count for level, count in sorted(figures.depth.items())}, "visits"),
        ),
        ("Completion tokens of a trajectory", histogram("tokens", _counted(figures.tokens), "tokens")),
    ]
    return [(title, Markup(svg)) for title, svg in drawn if svg]


def _counted(values: Iterable[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def _reasons(failed: list[dict[str, Any]]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for row in failed:
        reason = str(row.get("reason", ""))[:200]
        counts[reason] = counts.get(reason, 0) + 1
    return sorted(counts.items(), key=lambda pair: -pair[1])[:20]


def _shown(trajectory: Trajectory, question: Question, trees: TreeStore, settings: FilterSettings) -> dict[str, Any]:
    turns = []
    for message in trajectory.messages[2:]:
        if message["role"] == "tool":
            turns.append({"kind": "result", "text": message["content"]})
            continue
        calls = [call_text(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()]
        turns.append({"kind": "thought", "text": message.get("reasoning_content") or ""})
        turns += [{"kind": "call", "text": call} for call in calls]
        if message.get("content"):
            turns.append({"kind": "answer", "text": message["content"]})
    grid = trees[trajectory.video_id].grid
    leaks = find_leaks(trajectory.messages) if trajectory.teacher.get("hints") else []
    return {
        "id": trajectory.id,
        "question": split_prompt(trajectory.messages[1]["content"])[1],
        "outcome": _outcome(trajectory, question),
        "visits": len(trajectory.visits),
        "turns": turns,
        "clues": ", ".join(f"{clock(start)}-{clock(end)}" for start, end in question.clue_intervals) or "none known",
        "hints": trajectory.teacher.get("hints", 0),
        "faults": faults(trajectory, question, grid, settings),
        "leaks": [f"{leak.kind}: {leak.quote}" for leak in leaks],
    }


def _outcome(trajectory: Trajectory, question: Question) -> str:
    if trajectory.prediction is None:
        return trajectory.status.value
    right = is_right(trajectory, question)
    return f"answered {trajectory.prediction}, {'right' if right else f'right is {question.truth}'}"
