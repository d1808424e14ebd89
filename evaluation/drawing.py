"""What all charts share: style, labels that find a free place, and SVG whose text is text in the page's colours."""

import io
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import matplotlib

from evaluation.style import CSS_NAMES, INK, LINE, MUTED, spread

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "font.family": "DejaVu Sans",
    "axes.edgecolor": LINE, "axes.labelcolor": MUTED, "axes.titlecolor": INK, "axes.titlesize": 11,
    "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlepad": 12, "text.color": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 9, "ytick.labelsize": 9, "axes.grid": True,
    "grid.color": LINE, "grid.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.spines.left": False, "axes.axisbelow": True, "xtick.major.size": 0, "ytick.major.size": 0,
    "xtick.minor.size": 0, "legend.frameon": False, "legend.fontsize": 9, "lines.linewidth": 1.8,
}  # fmt: skip
_LONGEST_NAME = 28
_LABEL_SIZE = 9.5
_LABEL: dict[str, Any] = {"textcoords": "offset points", "fontsize": _LABEL_SIZE, "annotation_clip": False}
_MARKER_RADIUS = 7
"""Of a point in pixels, some air included."""
_LABEL_PLACES = (
    (11, 0, "left", "center"), (0, 11, "center", "bottom"), (0, -11, "center", "top"), (-11, 0, "right", "center"),
    (9, 11, "left", "bottom"), (9, -11, "left", "top"), (-9, 11, "right", "bottom"), (-9, -11, "right", "top"),
    (0, 24, "center", "bottom"), (0, -24, "center", "top"),
)  # fmt: skip
"""Offsets in points of a label from its point, and its alignment, best first."""


def new_figure(width: float, height: float):
    """A figure with one pair of axes, in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(which="both", length=0)
    return figure, axes


def error_bars(value: float, interval: Sequence[float] | None) -> list[list[float]] | None:
    """Distances below and above, as matplotlib wants them."""
    if interval is None:
        return None
    return [[max(0.0, value - interval[0])], [max(0.0, interval[1] - value)]]


def place_labels(
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
            note = axes.annotate(text, (x, y), (dx, dy), color=colour, ha=across, va=along, **_LABEL)
            box = note.get_window_extent().padded(2)
            around = box.padded(_MARKER_RADIUS)
            faults = sum(box.overlaps(other) for other in taken) + sum(around.contains(*point) for point in others)
            faults += min(0.9, 0.1 * sum(box.contains(*place) for place in avoided))
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


def label_ends(figure, axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Writes the names of curves that end at the right edge there, one below the other: (y, name, colour)."""
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    ordered = sorted(labels)
    ends = [axes.transData.transform((1, y))[1] for y, *_ in ordered]
    apart = 1.35 * _LABEL_SIZE * figure.dpi / 72
    for (_, text, colour), y in zip(ordered, spread(ends, apart, frame.y0, frame.y1), strict=True):
        place = axes.transAxes.inverted().transform((frame.x1, y))
        axes.annotate(text, place, (6, 0), color=colour, va="center", xycoords="axes fraction", **_LABEL)


def along_steps(axes, xs: Sequence[float], ys: Sequence[float]) -> list[tuple[float, float]]:
    """Places every few pixels on a line that steps at each next x, for labels to keep off it."""
    xs = [xs[0], *(x for x in xs[1:] for _ in range(2))]
    ys = [*(y for y in ys[:-1] for _ in range(2)), ys[-1]]
    found = []
    for first, second in pairwise(axes.transData.transform(list(zip(xs, ys, strict=True)))):
        count = max(2, int(abs(second - first).max() / 4))
        found += [first + (second - first) * part / count for part in range(count + 1)]
    return [tuple(place) for place in axes.transData.inverted().transform(found)] if found else []


def to_svg(figure, name: str) -> str:
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
    return re.sub(r'style="([^"]*)"', _attributes, text)


def _attributes(style: re.Match[str]) -> str:
    """An inline style as attributes of their own, which a page that allows no inline style draws too."""
    found: dict[str, str] = {}
    for declaration in filter(None, style[1].split(";")):
        name, _, value = map(str.strip, declaration.partition(":"))
        if name == "font":
            weight, size = re.findall(r"(?:(bold|\d00) )?([\d.]+px)", value)[0]
            found |= {"font-size": size} | ({"font-weight": weight} if weight else {})
        elif name not in ("font-family", "text-align"):  # the page's own
            found[name] = CSS_NAMES.get(value, value)
    return " ".join(f'{name}="{value}"' for name, value in found.items())


def clip(name: str) -> str:
    """A name that fits beside a point."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
