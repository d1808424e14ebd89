"""The report's charts, drawn by matplotlib and given as SVG whose text is text and whose colours follow the page."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import matplotlib
from markupsafe import Markup

from evaluation.drawing import STYLE, clip, error_bars, new_figure, place_labels, to_svg
from evaluation.style import MUTED, SERIES, colour_of, in_order, marker_of

Series = dict[str, list[tuple[float, float]]]
_SMOOTH_FROM = 16
_PHONE = (4.4, 4.2)
_COST_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True, slots=True)
class CurveChart:
    """One chart: `(step, value)` pairs by label; `lowest` and `highest` are what its value axis must reach."""

    name: str
    title: str
    series: Series
    lowest: float | None = None
    highest: float | None = None


def accuracy_against_visits(
    policies: Mapping[str, Mapping[str, Any]],
    chance: float | None = None,
    png: str | Path | None = None,
    name: str = "key",
    size: tuple[float, float] = (7.6, 4.5),
) -> str:
    """The key figure: accuracy and visit cost of every policy with both intervals, as SVG.

    Args:
        policies: Summaries by name.
        chance: Accuracy of guessing; drawn as a line.
        png: Where to save the figure as a picture too.
        name: Unique in the page: prefixes the ids inside the SVG.
        size: Width and height in inches.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(*size)
        labels, obstacles = [], []
        for number, label in enumerate(in_order(policies)):
            summary = policies[label]
            point = _point(summary)
            if point is None:
                continue
            colour = colour_of(label, number)
            x, y, x_error, y_error = point
            style = {"color": colour, "ecolor": colour, "elinewidth": 1.3, "capsize": 0, "markersize": 8}
            axes.errorbar([x], [y], xerr=x_error, yerr=y_error, fmt=marker_of(label), zorder=3, **style)
            labels.append((x, y, clip(label), colour))
            obstacles += [(x, y + error) for error in (-(y_error or [[0]])[0][0], (y_error or [[0]])[-1][0])]
            with_index = summary.get("visit_cost_with_index")
            if with_index is not None:
                axes.plot([x, with_index], [y, y], color=colour, linewidth=1.1, linestyle=(0, (2, 3)), zorder=2)
                axes.plot(
                    [with_index], [y], marker=marker_of(label), markersize=8, color=colour, markerfacecolor="none"
                )
                if size is not _PHONE:  # there the dotted line has to say it
                    labels.append((with_index, y, f"{clip(label)}, index counted", colour))
                obstacles += [(x * (with_index / x) ** (step / 30), y) for step in range(31) if x > 0]
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        highest = max([1.0, *(x for x, *_ in labels)])
        axes.set_xlim(-0.12, highest * 2.6)
        ticks = [tick for tick in _COST_TICKS if tick <= highest * 2]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_xlabel(
            "mean visit cost of a question (log scale from 1 on)" if size[0] > 6 else "mean visit cost of a question"
        )
        axes.set_ylabel("accuracy")
        if chance is not None:
            axes.axhline(chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
            axes.annotate("chance", (1, chance), (-2, 3), color=MUTED, fontsize=9, **place)
        place_labels(figure, axes, labels, obstacles, chance)
        if png is not None:
            figure.savefig(png, dpi=200, facecolor="white", metadata={"Software": None})
        return to_svg(figure, name)


def key_figures(policies: Mapping[str, Mapping[str, Any]], chance: float | None = None, name: str = "key") -> Markup:
    """The key figure twice, for a page and for a phone; the style sheet shows the one that fits."""
    wide = accuracy_against_visits(policies, chance, name=name)
    narrow = accuracy_against_visits(policies, chance, name=f"{name}-narrow", size=_PHONE)
    return Markup('<div class="key wide">{}</div><div class="key narrow">{}</div>').format(Markup(wide), Markup(narrow))


def line_chart(chart: CurveChart, name: str) -> str:
    """Values by training step as SVG; from 16 values on, a running mean over them drawn pale.

    Args:
        chart: What is drawn.
        name: Unique in the page: prefixes the ids inside the SVG.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(5.0, 3.0)
        for number, (label, pairs) in enumerate(chart.series.items()):
            colour = SERIES[number % len(SERIES)]
            steps, values = [step for step, _ in pairs], [value for _, value in pairs]
            if len(values) >= _SMOOTH_FROM:
                axes.plot(steps, values, color=colour, alpha=0.28, linewidth=1)
                values = _running_mean(values)
            marker = "o" if len(values) <= 4 else None
            axes.plot(steps, values, color=colour, label=clip(label), marker=marker, markersize=4)
        axes.locator_params(nbins=5)
        axes.set_title(chart.title)
        axes.set_xlabel("step")
        low, high = axes.get_ylim()
        axes.set_ylim(
            low if chart.lowest is None else min(low, chart.lowest),
            high if chart.highest is None else max(high, chart.highest),
        )
        axes.margins(x=0.02)
        if len(chart.series) > 1:
            columns = min(4, len(chart.series))
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22), "columnspacing": 1.2, "handlelength": 1.4}
            axes.legend(ncols=columns, **below)
        return to_svg(figure, name)


def _point(summary: Mapping[str, Any]) -> tuple[float, float, list | None, list | None] | None:
    metric = "visit_cost" if summary.get("visit_cost") is not None else "visits"
    x, y = summary.get(metric), summary.get("accuracy")
    if x is None or y is None:
        return None
    return x, y, error_bars(x, summary.get(f"{metric}_ci")), error_bars(y, summary.get("accuracy_ci"))


def _running_mean(values: Sequence[float]) -> list[float]:
    half = max(1, len(values) // 20)
    windows = (values[max(0, index - half) : index + half + 1] for index in range(len(values)))
    return [sum(window) / len(window) for window in windows]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Metrics whose names match go into one chart; the pattern's group `label`, if it has one, names the curve."""

    name: str
    title: str
    pattern: str
    lowest: float | None = None
    highest: float | None = None


_EVAL = r"(?:eval[_/])?"
_RULES = (
    _Rule("loss", "Loss", rf"(?P<label>{_EVAL}loss)"),
    _Rule("token-accuracy", "Token accuracy", rf"(?P<label>{_EVAL}(?:mean_)?token_accuracy)", highest=1.0),
    _Rule("reward", "Reward", rf"(?P<label>{_EVAL}reward)(?:/mean)?"),
    _Rule("accuracy", "Right answers", rf"(?P<label>{_EVAL}accuracy)(?:/mean)?", 0.0, 1.0),
    _Rule("visits", "Visits a question", rf"(?P<label>{_EVAL}visits)(?:/mean)?", lowest=0.0),
    _Rule("statuses", "How episodes end", r"status(?:es)?/(?P<label>[a-z_]+)", 0.0, 1.0),
)
_PART = re.compile(r"(?:eval[_/])?rewards?(?:_parts?)?/(?P<label>[^/]+?)(?:/mean)?")
"""Reward parts get a chart each: they have scales of their own. trl logs them as `rewards/<name>/mean`."""
_LOSS_OF_REINFORCEMENT = "grpo"


def curves_of(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[CurveChart]]:
    """Charts by stage; stages without anything to draw are left out.

    Drawn are `loss`, token accuracy, `reward`, `accuracy`, `visits`, each reward part (`rewards/<name>/mean`) and
    `status/<name>`, with or without `eval_` before them. Rows without `step` and values that are no finite numbers are
    left out.
    """
    return {stage: charts for stage, rows in stages.items() if (charts := _charts(stage, rows))}


def _charts(stage: str, rows: Sequence[Mapping[str, Any]]) -> list[CurveChart]:
    columns: Series = {}
    for row in rows:
        step = row.get("step")
        if _is_number(step):
            for key, value in row.items():
                if key != "step" and _is_number(value):
                    columns.setdefault(key, []).append((step, value))
    charts = []
    for rule in _RULES:
        if rule.name == "loss" and _LOSS_OF_REINFORCEMENT in stage.lower():
            continue  # the surrogate loss of a policy gradient says nothing about progress
        found: Series = {}
        for key in columns:
            match = re.fullmatch(rule.pattern, key)
            if match:
                found[match["label"].replace("_", " ").replace("/", " ")] = sorted(columns[key])
        if found:
            charts.append(CurveChart(rule.name, rule.title, found, rule.lowest, rule.highest))
    for key in columns:
        match = _PART.fullmatch(key)
        if match:
            label = match["label"].replace("_", " ")
            charts.append(CurveChart(f"part-{key}", f"Reward part: {label}", {label: sorted(columns[key])}))
    return charts


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
