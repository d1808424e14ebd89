"""`clipscout score`: what each visit of recorded episodes earned and cost, and why."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from navigation import InputError, Question, Status, TimeGrid, Trajectory, TreeStore, read_questions, read_trajectories
from rewards import Breakdown, RewardMix, explain
from rewards.answer import Verdict


def score(
    trajectories: Annotated[list[Path], typer.Argument(help="JSONL files of trajectories.")],
    questions: Annotated[Path, typer.Option(help="JSONL file of the questions they answer.")],
    trees: Annotated[Path, typer.Option(help="Folder of the caption trees they played.")],
    config: Annotated[Path | None, typer.Option(help="YAML with a `reward` section; default: the default mix.")] = None,
    show: Annotated[int, typer.Option(help="Episodes to print visit by visit.")] = 20,
) -> None:
    """Print what each visit earned and cost, and why; then the mean of every part over all episodes."""
    mix = RewardMix.from_config(_reward_config(config))
    asked = {question.id: question for question in read_questions(questions)}
    store = TreeStore(trees)
    console = Console()
    scored: list[Breakdown] = []
    for source, trajectory in _all(trajectories):
        question = asked.get(trajectory.question_id)
        if question is None:
            raise InputError(source, "question_id", trajectory.question_id, f"{questions} holds no such question")
        grid = store[question.video_id].grid
        breakdown = mix.score(
            question,
            grid,
            trajectory.visits,
            trajectory.status,
            trajectory.prediction,
            trajectory.refused,
            lookups=trajectory.lookups,
            keep_steps=True,
            verdict=Verdict.from_dict(trajectory.verdict) if trajectory.verdict else None,
        )
        if len(scored) < show:
            console.print(_episode_table(trajectory, question, grid, breakdown, mix))
            console.print(_sum_line(breakdown), end="\n\n")
        scored.append(breakdown)
    if len(scored) > show:
        console.print(f"{len(scored) - show} more episodes, not shown; --show prints them")
    console.print(_mean_table(scored, mix))


def _all(paths: Sequence[Path]) -> Iterator[tuple[Path, Trajectory]]:
    for path in paths:
        if not path.is_file():
            raise InputError("command line", "trajectories", str(path), "give a JSONL file that exists")
        for trajectory in read_trajectories(path, cut_end=True):
            yield path, trajectory


def _reward_config(path: Path | None) -> Any:
    """The `reward` section of a run's config, or the whole file where it has none."""
    if path is None:
        return None
    if not path.is_file():
        raise InputError("command line", "--config", str(path), "give a YAML file that exists")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(path, "file", str(error).splitlines()[0], "fix the YAML") from None
    return values.get("reward", values) if isinstance(values, dict) else values


def _episode_table(
    trajectory: Trajectory, question: Question, grid: TimeGrid, breakdown: Breakdown, mix: RewardMix
) -> Table:
    # Ids and letters are data: Text keeps rich from reading markup in them.
    title = Text(
        f"{trajectory.id}: {trajectory.status}, {trajectory.prediction or 'no answer'} ({question.truth} is right)"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("tool")
    table.add_column("segment")
    for name in ("clue s", "coverage", "price", "charge"):
        table.add_column(name, justify="right")
    table.add_column("why")
    for account in explain(breakdown, grid, mix.settings.visit_cost):
        table.add_row(
            Text(account.visit.tool),
            Text(account.place),
            f"{account.clue_seconds:.1f}",
            f"{account.gain:+.3f}",
            f"{account.price:g}",
            f"{account.charge:+.3f}" if account.charge else "0",
            Text(account.reason),
        )
    return table


def _sum_line(breakdown: Breakdown) -> str:
    if breakdown.total is None:
        return f"total: none; {'no verdict' if breakdown.status is Status.ANSWERED else 'the policy failed'}"
    terms = [
        f"{name} {breakdown.weights[name]:+g} x {value:.3f}"
        for name, value in breakdown.parts.items()
        if value is not None
    ]
    return f"total {breakdown.total:.3f} = {', '.join(terms)}"


def _mean_table(scored: Sequence[Breakdown], mix: RewardMix) -> Table:
    table = Table(title=f"Mean of {len(scored)} episodes", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("part")
    for name in ("weight", "mean", "episodes it applies to"):
        table.add_column(name, justify="right")
    columns = {name: [each.parts[name] for each in scored] for name in mix.parts}
    rows = [(name, f"{mix.weights[name]:+g}", columns[name]) for name in mix.parts]
    for name, weight, values in [*rows, ("total", "", [each.total for each in scored])]:
        known = [value for value in values if value is not None]
        table.add_row(name, weight, f"{fmean(known):.3f}" if known else "-", f"{len(known)} of {len(values)}")
    return table
