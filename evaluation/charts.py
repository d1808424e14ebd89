"""The report's charts, drawn by matplotlib and given as SVG whose text is text and whose colours follow the page."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from evaluation.palette import CSS_NAMES, INK, LINE, MUTED, SERIES, colour_of, in_order, marker_of

_STYLE = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "font.family": "DejaVu Sans",
    "axes.edgecolor": LINE, "axes.labelcolor": MUTED, "axes.titlecolor": INK, "axes.titlesize": 11,
    "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlepad": 12, "text.color": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 9, "ytick.labelsize": 9, "axes.grid": True,
    "grid.color": LINE, "grid.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.spines.left": False, "axes.axisbelow": True, "xtick.major.size": 0, "ytick.major.size": 0,
    "xtick.minor.size": 0, "legend.frameon": False, "legend.fontsize": 9, "lines.linewidth": 1.8,
}  # fmt: skip
_LONGEST_NAME = 28
_SMOOTH_FROM = 16
_MARKER_RADIUS = 7
"""Of a point in pixels, some air included."""
_COST_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_LABEL_PLACES = (
    (11, 0, "left", "center"), (0, 11, "center", "bottom"), (0, -11, "center", "top"), (-11, 0, "right", "center"),
    (9, 11, "left", "bottom"), (9, -11, "left", "top"), (-9, 11, "right", "bottom"), (-9, -11, "right", "top"),
    (0, 24, "center", "bottom"), (0, -24, "center", "top"),
)  # fmt: skip
"""Offsets in points of a label from its point, and its alignment, best first."""


def accuracy_against_visits(
    policies: Mapping[str, Mapping[str, Any]], chance: float | None = None, png: str | Path | None = None
) -> str:
    """The key figure: accuracy and visit cost of every policy with both intervals, as SVG.

    Args:
        policies: Summaries by name.
        chance: Accuracy of guessing; drawn as a line.
        png: Where to save the figure as a picture too.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(7.6, 4.5)
        labels, obstacles = [], []
        for number, name in enumerate(in_order(policies)):
            summary = policies[name]
            point = _point(summary)
            if point is None:
                continue
            colour = colour_of(name, number)
            x, y, x_error, y_error = point
            style = {"color": colour, "ecolor": colour, "elinewidth": 1.3, "capsize": 0, "markersize": 8}
            axes.errorbar([x], [y], xerr=x_error, yerr=y_error, fmt=marker_of(name), zorder=3, **style)
            labels.append((x, y, _clip(name), colour))
            obstacles += [(x, y + error) for error in (-(y_error or [[0]])[0][0], (y_error or [[0]])[-1][0])]
            with_index = summary.get("visit_cost_with_index")
            if with_index is not None:
                axes.plot([x, with_index], [y, y], color=colour, linewidth=1.1, linestyle=(0, (2, 3)), zorder=2)
                axes.plot([with_index], [y], marker=marker_of(name), markersize=8, color=colour, markerfacecolor="none")
                labels.append((with_index, y, f"{_clip(name)}, index counted", colour))
                obstacles += [(x * (with_index / x) ** (step / 30), y) for step in range(31) if x > 0]
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        highest = max([1.0, *(x for x, *_ in labels)])
        axes.set_xlim(-0.12, highest * 2.6)
        ticks = [tick for tick in _COST_TICKS if tick <= highest * 2]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_xlabel("mean visit cost of a question (log scale from 1 on)")
        axes.set_ylabel("accuracy")
        if chance is not None:
            axes.axhline(chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
            axes.annotate("chance", (1, chance), (-2, 3), color=MUTED, fontsize=9, **place)
        _place_labels(figure, axes, labels, obstacles, chance)
        if png is not None:
            figure.savefig(png, dpi=200, facecolor="white", metadata={"Software": None})
        return _svg(figure, "key")


def line_chart(
    name: str, title: str, series: Mapping[str, Sequence[tuple[float, float]]], lowest: float | None = None,
    highest: float | None = None,
) -> str:  # fmt: skip
    """Values by training step as SVG; from 16 values on, a running mean over them drawn pale.

    Args:
        name: Unique in the page: prefixes the ids inside the SVG.
        title: Above the chart.
        series: `(step, value)` pairs by label.
        lowest: The value axis begins here or lower.
        highest: The value axis ends here or higher.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.0, 3.0)
        for number, (label, pairs) in enumerate(series.items()):
            colour = SERIES[number % len(SERIES)]
            steps, values = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            if len(values) >= _SMOOTH_FROM:
                axes.plot(steps, values, color=colour, alpha=0.28, linewidth=1)
                values = _running_mean(values)
            marker = "o" if len(values) <= 4 else None
            axes.plot(steps, values, color=colour, label=_clip(label), marker=marker, markersize=4)
        axes.locator_params(nbins=5)
        axes.set_title(title)
        axes.set_xlabel("step")
        low, high = axes.get_ylim()
        axes.set_ylim(low if lowest is None else min(low, lowest), high if highest is None else max(high, highest))
        axes.margins(x=0.02)
        if len(series) > 1:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=min(4, len(series)), columnspacing=1.2,
                        handlelength=1.4)  # fmt: skip
        return _svg(figure, name)


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(which="both", length=0)
    return figure, axes


def _point(summary: Mapping[str, Any]) -> tuple[float, float, list | None, list | None] | None:
    metric = "visit_cost" if summary.get("visit_cost") is not None else "visits"
    x, y = summary.get(metric), summary.get("accuracy")
    if x is None or y is None:
        return None
    return x, y, _error(x, summary.get(f"{metric}_ci")), _error(y, summary.get("accuracy_ci"))


def _error(value: float, interval: Sequence[float] | None) -> list[list[float]] | None:
    """Distances below and above, as matplotlib wants them."""
    if interval is None:
        return None
    return [[max(0.0, value - interval[0])], [max(0.0, interval[1] - value)]]


def _place_labels(
    figure,
    axes,
    labels: Sequence[tuple[float, float, str, str]],
    obstacles: Sequence[tuple[float, float]],
    line: float | None,
) -> None:
    """Writes each label beside its point, where it covers no other label or point, and least of obstacles and line."""
    figure.draw_without_rendering()
    height = None if line is None else axes.transData.transform((0, line))[1]
    avoided = [axes.transData.transform(place) for place in obstacles]
    points = [axes.transData.transform((x, y)) for x, y, *_ in labels]
    taken: list[Any] = []
    frame = axes.get_window_extent()
    for index, (x, y, text, colour) in enumerate(labels):
        others = [point for place, point in enumerate(points) if place != index]
        best = None
        for dx, dy, across, along in _LABEL_PLACES:
            note = axes.annotate(text, (x, y), (dx, dy), textcoords="offset points", ha=across, va=along, color=colour,
                                 fontsize=9.5, annotation_clip=False)  # fmt: skip
            box = note.get_window_extent().padded(2)
            around = box.padded(_MARKER_RADIUS)
            faults = sum(box.overlaps(other) for other in taken) + sum(around.contains(*point) for point in others)
            faults += 0.1 * sum(box.contains(*place) for place in avoided)
            faults += 0.1 * (height is not None and box.y0 < height < box.y1)
            faults += 3 * (box.x0 < frame.x0 or box.x1 > frame.x1 + 4 or box.y0 < frame.y0 or box.y1 > frame.y1 + 8)
            if best is None or faults < best[0]:
                if best is not None:
                    best[1].remove()
                best = (faults, note, box)
            else:
                note.remove()
            if not faults:
                break
        if best is not None:
            taken.append(best[2])


def _running_mean(values: Sequence[float]) -> list[float]:
    half = max(1, len(values) // 20)
    windows = (values[max(0, index - half) : index + half + 1] for index in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _svg(figure, name: str) -> str:
    """The figure as an inline SVG element: scalable, transparent, page colours, ids of its own."""
    with matplotlib.rc_context({"svg.hashsalt": name}):
        buffer = io.StringIO()
        unnamed = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=unnamed)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"\bid=\"", f'id="{name}-', text)
    text = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", text)
    text = re.sub(r"(font: [^;\"']*?px) [^;\"]+", r"\1 var(--sans)", text)
    for colour, css in CSS_NAMES.items():
        text = re.sub(rf"((?:fill|stroke): ){colour}\b", rf"\1{css}", text)
    return text


def _clip(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
