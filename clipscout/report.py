"""`clipscout report`: what was done and what came of it, as one page, for any set of runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evaluation.style import in_order, number
from navigation import InputError, Trajectory
from navigation.grid import clock

if TYPE_CHECKING:
    from clipscout.view.overview import Group, Overview, Run
    from clipscout.view.runs import Runs

NAME = "report.html"
_KINDS, _GROUPS = 6, 3
"""Question kinds of a group, and groups, whose episodes are shown."""


def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of runs; default: runs/demo.")] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file; default: report.html in the first run.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with questions.jsonl and trees/; default: looked for beside the runs.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only sets whose name ends so; repeatable.")] = None,
    title: Annotated[str, typer.Option(help="Of the page.")] = "ClipScout",
) -> None:
    """One page of any runs: what was done, accuracy against cost, by kind, learning curves, episodes to read."""
    from clipscout.view.runs import find_runs

    folders = runs or [Path("runs/demo")]
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        hint = "give an .html file; the folders of the runs come without --out"
        raise InputError("report", "--out", str(out), hint)
    found = find_runs(folders, data, only or ())
    first = folders[0] if folders[0].is_dir() else folders[0].parent
    facts = demo_facts(folders[0]) if len(folders) == 1 else {}
    print(write_runs_report(found, out or first / NAME, title, facts))


def write_runs_report(
    runs: "Runs", out: Path, title: str = "ClipScout", facts: Mapping[str, str] | None = None
) -> Path:
    """Writes the page of some runs, and its key figures beside it.

    Args:
        runs: Evaluations on the same questions stand in one table.
        out: The HTML file.
        title: Of the page.
        facts: What was done beside what the runs' own files say.

    Returns:
        The file.
    """
    from clipscout.view.overview import Overview, short_names
    from evaluation.report import Part, write_report

    overview = Overview(runs)
    table = overview.table()
    groups = overview.groups(table)
    parts = [
        Part(group.title, {run.label: run.summary for run in group.runs}, overview.chance(group)) for group in groups
    ]
    shown = [each for place, group in enumerate(groups[:_GROUPS]) for each in _episodes(group, f"group-{place}-")]
    curves = overview.trainings()
    short = dict(zip(curves, short_names(list(curves)), strict=True))
    curves = {short[name]: rows for name, rows in reversed(curves.items())}
    told = dict(_facts(table, overview, groups)) | dict(facts or {})
    write_report(out, parts, curves, shown, told, title)
    return out


def _episodes(group: "Group", prefix: str) -> list[Any]:
    """A question of each kind by the first two policies: one that the second gets right, if it does,
    in about its mean visits."""
    from evaluation.episode_view import group_episodes

    by_label = {run.label: run.trajectories for run in group.runs}
    policies = [by_label[label] for label in reversed(in_order(by_label)[:2])]
    first = policies[0]
    if first.trees is None:
        return []
    kinds = {question: (kind or "all").split("|") for question, kind in first.questions.kinds.items()}
    rows = [row for row in first.rows if row.video_id in first.trees]
    typical = fmean(row.visits for row in first.rows)
    episodes: list[tuple[str, Trajectory]] = []
    questions = {}
    for kind, _ in group.kinds[:_KINDS]:
        of_kind = [row for row in rows if kind in kinds.get(row.question_id, ()) and row.question_id not in questions]
        if not of_kind:
            continue
        best = min(of_kind, key=lambda row: (not row.correct, abs(row.visits - typical), row.question_id))
        question_id = best.question_id
        question = first.questions.get(question_id)
        if question is None:
            continue
        questions[question_id] = question
        for policy in policies:
            row = policy.rows[policy.by_question()[question_id][0]]
            label = next(label for label, each in by_label.items() if each is policy)
            episodes.append((label, policy.offsets.trajectory(row)))
    return group_episodes(episodes, questions, first.trees, prefix)


def _facts(table: Sequence["Run"], overview: "Overview", groups: Sequence["Group"]) -> Iterator[tuple[str, str]]:
    """What the runs' own files say was done."""
    from clipscout.view.overview import short_names
    from clipscout.view.runs import settings_of

    sources = [run for run in table if run.role == "source"]
    for run in sources:
        name = f" of {run.label}" if len(sources) > 1 else ""
        if stats := _json(run.trajectories.folder / "stats.json"):
            duration = (stats.get("duration_seconds") or {}).get("median")
            length = f" of {clock(duration)} (median)" if duration else ""
            yield (
                f"corpus{name}",
                f"{stats.get('corpus')}: {stats.get('videos')} videos{length}, "
                f"{number(stats.get('questions'))} questions",
            )
            by = (stats.get("trajectories") or {}).get("teacher")
        else:
            by = None
        author = f" by {by}" if by else ""
        yield f"trajectories{name}", f"{number(run.summary['n'])}{author}, {number(run.summary['visits'])} visits each"
    trainings = overview.runs.trainings
    for name, folder in zip(short_names(list(trainings)), trainings.values(), strict=True):
        if config := settings_of(folder):
            yield name, _training(config)
    for group in groups:
        yield f"evaluation, {group.title}", ", ".join(run.label for run in group.runs)


def _training(config: Mapping[str, Any]) -> str:
    """A training's size in words, from its resolved config."""
    batch = (config.get("per_device_train_batch_size") or 1) * (config.get("gradient_accumulation_steps") or 1)
    steps = config.get("max_steps") or 0
    length = f"{steps} steps" if steps > 0 else f"{number(config.get('num_train_epochs'))} epochs in steps"
    generations = config.get("num_generations")
    what = f"episodes, {generations} a question" if generations and config.get("beta") is not None else "trajectories"
    return f"{length} of {batch} {what}, learning rate {config.get('learning_rate')}"


def demo_facts(run: Path) -> dict[str, str]:
    """What only a demo's files say: its model, its seed and how long it took."""
    facts = {}
    if base := _json(run / "base" / "tiny_base.json"):
        facts["model"] = f"Qwen3 of {base['parameters']:,} parameters, vocabulary {base['vocabulary']}"
    if summary := _json(run / "summary.json"):
        facts |= {"seed": str(summary.get("seed")), "wall time": f"{number(summary.get('seconds'))} s"}
    return facts


def _json(path: Path) -> dict[str, Any]:
    """A record as JSON; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
