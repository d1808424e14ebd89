"""The pictures of a comparison: accuracy against cost, by video length, visits by depth, coverage of the clues."""

from collections.abc import Callable, Iterator
from functools import partial
from math import fsum
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from evaluation.bootstrap import estimates, micro
from evaluation.comparison import Comparison, Entry, front, lengths
from evaluation.drawing import STYLE, along_steps, clip, error_bars, place_labels, to_svg
from evaluation.result import Row
from evaluation.scorers import right
from evaluation.style import INK, MUTED, colour_of, marker_of

TRUTH = ("expert",)
"""Policies that are given the truth: shown, but no part of the front."""
_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


def figures(comparison: Comparison) -> dict[str, str]:
    """Title and SVG of every picture that the results have data for."""
    return {
        title: to_svg(figure, f"{_plain(comparison.benchmark)}-{name}") for title, name, figure in _drawn(comparison)
    }


def save_pictures(comparison: Comparison, folder: Path, prefix: str = "") -> list[Path]:
    """The same pictures as `<prefix><benchmark>_<picture>.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for _, name, figure in _drawn(comparison):
        written.append(folder / f"{prefix}{_plain(comparison.benchmark)}_{name}.png")
        figure.savefig(written[-1], dpi=130, facecolor="white", metadata={"Software": None})
    return written


def _drawn(comparison: Comparison) -> Iterator[tuple[str, str, Any]]:
    """Title, name and figure; each is used before the next is drawn, while the style holds."""
    drawn: dict[str, tuple[str, Callable[[Comparison], Any]]] = {
        "Accuracy against cost": ("pareto", pareto),
        "Accuracy by video length": ("length", by_length),
        "Where visits go": ("depth", by_depth),
        "Clue time found": ("grounding", grounding),
    }
    for title, (name, draw) in drawn.items():
        with matplotlib.rc_context(STYLE):
            figure = draw(comparison)
            if figure is not None:
                yield title, name, figure


def pareto(comparison: Comparison):
    """Accuracy against visits, and against captions that must be made, with intervals and the front of the best."""
    figure, panels = _panels(1, 2, 11.5, 5.2)
    for axes, cost, label in zip(
        panels, ("visits", "made"), ("visits a question", "captions made a question, on demand"), strict=True
    ):
        points = [(_cost(entry, cost), entry.accuracy.value or 0.0) for entry in comparison.entries]
        ranked = [place for place, entry in enumerate(comparison.entries) if entry.name not in TRUTH]
        best = [ranked[place] for place in front([points[place] for place in ranked])]
        highest = max(x for x, _ in points)
        if len(best) > 1:
            steps = [points[place] for place in best]
            axes.step([x for x, _ in steps], [y for _, y in steps], where="post", color=INK, linewidth=1, alpha=0.45)
        labels, obstacles = [], []
        for number, (entry, (x, y)) in enumerate(zip(comparison.entries, points, strict=True)):
            colour = colour_of(entry.name, number)
            interval = [bound for bound in (entry.accuracy.low, entry.accuracy.high) if bound is not None]
            y_error = error_bars(y, interval or None)
            style = {"color": colour, "ecolor": colour, "elinewidth": 1.2, "markersize": 7.5, "zorder": 3}
            axes.errorbar([x], [y], yerr=y_error, fmt=marker_of(entry.name), **style)
            labels.append((x, y, clip(entry.name), colour))
            obstacles += [(x, bound) for bound in interval]
        axes.set_xscale("symlog", linthresh=1, linscale=0.35)
        axes.set_xlim(-0.15, max(2, highest) * 3.2)
        ticks = [tick for tick in _TICKS if tick <= highest * 2]
        axes.set_xticks(ticks, [f"{tick:,}".replace(",", " ") for tick in ticks])
        axes.set_xticks([], minor=True)
        low = min([comparison.chance, *(entry.accuracy.low or 0.0 for entry in comparison.entries)])
        axes.set_ylim(max(0.0, low - 0.06), 1.06 if points and max(y for _, y in points) > 0.9 else None)
        axes.set_xlabel(label + " (log scale from 1 on)")
        axes.axhline(comparison.chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right", "va": "top"}
        axes.annotate("chance", (1, comparison.chance), (-2, -3), color=MUTED, fontsize=9, **place)
        if len(best) > 1:
            figure.draw_without_rendering()
            obstacles += along_steps(axes, [x for x, _ in steps], [y for _, y in steps])
        place_labels(figure, axes, labels, obstacles, comparison.chance)
    panels[0].set_ylabel("accuracy")
    return figure


def by_length(comparison: Comparison):
    """Accuracy of every policy in classes of video length, as a table of shades; None for a single class."""
    classes = lengths(comparison)
    if len(classes) < 2:
        return None
    entries = comparison.entries
    figure, (axes,) = _panels(1, 1, max(8.2, 2.6 + 1.25 * len(classes)), 1.4 + 0.42 * len(entries))
    table = np.full((len(entries), len(classes)), np.nan)
    for row, entry in enumerate(entries):
        rows = entry.result.rows
        metrics = [micro(label, rows, right, partial(_lasts, low=low, high=high)) for label, low, high in classes]
        in_class = estimates(rows, metrics)
        for column, (label, *_) in enumerate(classes):
            found = in_class[label]
            table[row, column] = found.value
            half = ((found.high or 0) - (found.low or 0)) / 2
            text, colour = f"{100 * (found.value or 0):.0f} ±{100 * half:.0f}", INK
            if (found.value or 0) > 0.72:
                colour = "white"
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    shades = LinearSegmentedColormap.from_list("share", ["#f3f7fa", "#8fbcd8", "#0f5c8c"])
    axes.imshow(table, cmap=shades, vmin=0.15, vmax=1, aspect="auto")
    counts = [sum(low < row.duration <= high for row in entries[0].result.rows) for _, low, high in classes]
    axes.set_xticks(range(len(classes)), [f"{label}\nN {n}" for (label, *_), n in zip(classes, counts, strict=True)])
    axes.set_yticks(range(len(entries)), [clip(entry.name) for entry in entries], color=INK)
    axes.grid(False)
    axes.xaxis.tick_top()
    axes.set_xlabel("accuracy in percent, ± half of its 95 % interval")
    axes.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(entries) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2.5)
    axes.spines[:].set_visible(False)
    return figure


def by_depth(comparison: Comparison):
    """Share of each policy's visits on each level of the tree, its mean visits beside it; None without visits."""
    entries = [entry for entry in comparison.entries if entry.costs["visits"].value]
    if not entries:
        return None
    deepest = max(len(row.meter["by_level"]) for entry in entries for row in entry.result.rows)
    figure, (axes,) = _panels(1, 1, 8.2, 1.3 + 0.42 * len(entries))
    colours = ["#cfe3f0", "#86b9d8", "#2f86b9", "#0f5c8c", "#093a5c"]
    begun = np.zeros(len(entries))
    for level in range(1, deepest + 1):
        shares = [_share(entry, level) for entry in entries]
        label = "top level" if level == 1 else f"level {level}" + (" (leaf)" if level == deepest else "")
        axes.barh(range(len(entries)), shares, left=begun, height=0.66, color=colours[min(level, 5) - 1], label=label)
        begun += shares
    beside: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
    for place, entry in enumerate(entries):
        axes.annotate(f"{entry.costs['visits'].value:.3g}", (1, place), (8, 0), color=INK, fontsize=9.5, **beside)
    axes.annotate("mean visits", (1, -0.9), (8, 0), color=MUTED, fontsize=9, **beside)
    axes.set_yticks(range(len(entries)), [clip(entry.name) for entry in entries], color=INK)
    axes.invert_yaxis()
    axes.set_ylim(len(entries) - 0.4, -1.3)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of visits")
    above: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
    axes.legend(ncols=deepest, columnspacing=1.2, handlelength=1.1, **above)
    return figure


def grounding(comparison: Comparison):
    """Mean share of the clue time found after so many visits; None where no question has clues or nobody looks."""
    entries = [e for e in comparison.entries if e.costs["visits"].value and any(row.clues for row in e.result.rows)]
    if not entries:
        return None
    figure, (axes,) = _panels(1, 1, 8.2, 4.6)
    ends = []
    highest = 1
    for entry in entries:
        rows = [row for row in entry.result.rows if row.clues]
        most = max(row.visits for row in rows)
        found = np.zeros(most + 1)
        for row in rows:
            before = 0.0
            for number, value in row.steps:
                found[number] += value - before
                before = value
        curve = np.cumsum(found) / len(rows)
        colour = colour_of(entry.name, comparison.entries.index(entry))
        # Markers at a few places tell curves of one colour apart.
        style = {"color": colour, "marker": marker_of(entry.name), "markersize": 5, "linewidth": 1.6}
        (line,) = axes.plot(range(1, most + 1), curve[1:], markevery=max(1, most // 6), label=clip(entry.name), **style)
        ends.append((float(curve[-1]), line))
        highest = max(highest, most)
    axes.set_xscale("log")
    axes.set_xlim(0.9, highest * 1.1)
    ticks = [tick for tick in _TICKS[1:] if tick <= highest * 1.1]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, None)
    axes.set_xlabel("visits made (log scale)")
    axes.set_ylabel("clue time found, finer counts more")
    # Curves meet where they end: names stand beside the axes, in the order of the ends.
    lines = [line for _, line in sorted(ends, key=lambda end: -end[0])]
    axes.legend(handles=lines, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.6)
    return figure


def _panels(rows: int, columns: int, width: float, height: float):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=columns > 1).ravel()
    for each in axes:
        each.tick_params(which="both", length=0)
    return figure, axes


def _cost(entry: Entry, cost: str) -> float:
    return (entry.made if cost == "made" else entry.costs[cost]).value or 0.0


def _lasts(row: Row, low: float, high: float) -> bool:
    return low < row.duration <= high


def _share(entry: Entry, level: int) -> float:
    counts = [row.meter["by_level"] for row in entry.result.rows]
    every = fsum(sum(count) for count in counts)
    return fsum(count[level - 1] for count in counts if len(count) >= level) / every


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
