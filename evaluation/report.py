"""`report.html`: what was done and what came of it, in one file that needs nothing else."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from evaluation.charts import CurveChart, accuracy_against_visits, curves_of, key_figures, line_chart
from evaluation.episode_view import group_episodes
from evaluation.metrics import kinds_of
from evaluation.style import colour_class, in_order, interval, number, percent, template
from navigation import Question, Status, Trajectory, TreeStore, write_atomic

PNG_NAME = "accuracy_against_visits.png"
_BASELINES = (("sft", "fewer visits than imitation alone"), ("exhaustive", "fewer visits than reading every leaf"))


def write_report(
    out: Path,
    summary: Mapping[str, Any],
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    episodes: Sequence[tuple[str, Trajectory]],
    questions: Mapping[str, Question],
    trees: TreeStore,
    facts: Mapping[str, str],
    title: str = "ClipScout",
) -> None:
    """Writes the page, and its key figure beside it as `accuracy_against_visits.png`.

    Args:
        out: The HTML file. One file, no request to anywhere; follows the reader's light or dark preference.
        summary: What `run.write_summary` returned.
        curves: Training metrics by stage, each row with `step`; see `charts.curves_of` for the names that are drawn.
        episodes: `(label, trajectory)` pairs; episodes on one question stand side by side.
        questions: By id; those of the episodes, and all that the summary is about.
        trees: Of the episodes' videos.
        facts: What was done, as short texts by name.
        title: Of the page.

    Raises:
        KeyError: an episode whose question is not among `questions`.
        InputError: an episode whose tree is missing.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    policies = summary["policies"]
    names = in_order(policies)
    chance = None
    if questions:
        chance = sum(question.chance for question in questions.values()) / len(questions)
    accuracy_against_visits(policies, chance, out.parent / PNG_NAME)
    page = template("report.html").render(
        title=title,
        facts=facts,
        summary=summary,
        rows=[(name, policies[name], colour_class(name, place), "") for place, name in enumerate(names)],
        kinds=kinds_of(policies.values()),
        statuses=[status.value for status in Status],
        tiles=tiles(policies),
        chance=chance,
        key_figure=key_figures(policies, chance),
        charts=training_charts({stage.upper(): rows for stage, rows in curves.items()}),
        groups=group_episodes(episodes, questions, trees),
    )
    write_atomic(out, page)


def training_charts(
    stages: Mapping[str, Sequence[Mapping[str, Any]]], most: int | None = None
) -> list[tuple[str, list[Markup]]]:
    """The first `most` drawings of each stage that has something to draw, under ids of their own."""

    def drawn(stage: str, chart: CurveChart) -> Markup:
        return Markup(line_chart(chart, re.sub(r"[^A-Za-z0-9]+", "-", f"{stage}-{chart.name}")))

    return [(stage, [drawn(stage, chart) for chart in charts[:most]]) for stage, charts in curves_of(stages).items()]


def tiles(policies: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Headline figures as `(value, what it is, beside what)`, from the summary alone."""
    found = []
    chosen = next((name for name in ("grpo", "sft") if name in policies), None)
    if chosen is None:
        chosen = max(policies, key=lambda name: policies[name].get("accuracy") or 0.0, default=None)
    if chosen is None:
        return []
    mine = policies[chosen]
    accuracy = interval(mine.get("accuracy_ci"), as_percent=True)
    found.append((percent(mine.get("accuracy")), f"right answers of {chosen}", f"95 % interval {accuracy}"))
    visits = interval(mine.get("visits_ci"))
    found.append((number(mine.get("visits")), f"visits a question of {chosen}", f"95 % interval {visits}"))
    for baseline, phrase in _BASELINES:
        theirs = policies.get(baseline, {})
        if baseline != chosen and theirs.get("visits") and mine.get("visits") is not None:
            saved = 1 - mine["visits"] / theirs["visits"]
            if saved > 0:
                beside = (
                    f"{baseline} is right in {percent(theirs.get('accuracy'))} with {number(theirs['visits'])} visits"
                )
                found.append((percent(saved), phrase, beside))
    return found
