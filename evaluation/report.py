"""`report.html`: what was done and what came of it, in one file that needs nothing else."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from evaluation.bootstrap import LEVEL, METHOD
from evaluation.charts import CurveChart, accuracy_against_visits, curves_of, key_figures, line_chart
from evaluation.episode_view import EpisodeGroup
from evaluation.metrics import kinds_of
from evaluation.style import colour_class, in_order, interval, number, percent, template
from navigation import Status, write_atomic

PNG_NAME = "accuracy_against_visits{}.png"
_BASELINES = (("sft", "fewer visits than imitation alone"), ("exhaustive", "fewer visits than reading every leaf"))


@dataclass(frozen=True, slots=True)
class Part:
    """Policies that were asked the same questions: summaries by name, as `metrics.summarise` makes them."""

    title: str
    policies: Mapping[str, Mapping[str, Any]]
    chance: float | None = None


def write_report(
    out: Path,
    parts: Sequence[Part],
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    groups: Sequence[EpisodeGroup],
    facts: Mapping[str, str],
    title: str = "ClipScout",
) -> None:
    """Writes the page, and its key figures beside it as `accuracy_against_visits.png`, `…_2.png` and so on.

    Args:
        out: The HTML file. One file, no request to anywhere; follows the reader's light or dark preference.
        parts: What was evaluated; the headline figures are of the first.
        curves: Training metrics by stage, each row with `step`; see `charts.curves_of` for the names that are drawn.
        groups: Episodes to read, those on one question side by side.
        facts: What was done, as short texts by name.
        title: Of the page.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    shown = []
    for place, part in enumerate(parts, 1):
        accuracy_against_visits(part.policies, part.chance, out.parent / PNG_NAME.format(f"_{place}" * (place > 1)))
        names = in_order(part.policies)
        rows = [(name, part.policies[name], colour_class(name, number), "") for number, name in enumerate(names)]
        key_figure = key_figures(part.policies, part.chance, f"key-{place}")
        shown.append((part, rows, kinds_of(part.policies.values()), key_figure))
    page = template("report.html").render(
        title=title,
        facts=facts,
        parts=shown,
        statuses=[status.value for status in Status],
        tiles=tiles(parts[0].policies) if parts else [],
        charts=training_charts(curves),
        groups=groups,
        intervals=f"{100 * LEVEL:.0f} % intervals, {METHOD}",
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
    named = {name.rpartition("/")[2]: name for name in policies}
    chosen = next((named[name] for name in ("grpo", "sft") if name in named), None)
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
        theirs = policies.get(named.get(baseline, ""), {})
        if named.get(baseline) != chosen and theirs.get("visits") and mine.get("visits") is not None:
            saved = 1 - mine["visits"] / theirs["visits"]
            if saved > 0:
                beside = (
                    f"{baseline} is right in {percent(theirs.get('accuracy'))} with {number(theirs['visits'])} visits"
                )
                found.append((percent(saved), phrase, beside))
    return found
