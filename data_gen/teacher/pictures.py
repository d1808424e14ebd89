"""Bar charts of the set's report, as SVG whose colours follow the page."""

import io
import re
from collections.abc import Mapping

import matplotlib

_BAR, _INK, _LINE = "#0072b2", "#5d6875", "#dfe3e8"
_NAMES = {_BAR: "var(--bar)", _INK: "var(--muted)", _LINE: "var(--line)"}
_STYLE = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "font.family": "DejaVu Sans", "text.color": _INK,
    "axes.edgecolor": _LINE, "axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK, "grid.color": _LINE,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.axisbelow": True,
}  # fmt: skip
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
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.5)
        axes.bar([low + width * (place + (0.5 if width > 1 else 0)) for place in range(len(bins))], bins, 0.85 * width,
                 color=_BAR)  # fmt: skip
        axes.set_xlabel(label)
        axes.set_ylabel("walks")
        axes.grid(axis="y")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.get_major_locator().set_params(integer=True, nbins=5)
        return _svg(figure, name)


def bars(name: str, counts: Mapping[str, int], label: str) -> str:
    """Named counts as lying bars, in the order given, each with its number."""
    if not counts:
        return ""
    with matplotlib.rc_context(_STYLE):
        rows = len(counts)
        figure, axes = _axes(4.6, 0.34 + 0.36 * rows)
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
        axes.spines["bottom"].set_visible(False)
        axes.set_xlabel(label)
        return _svg(figure, name)


def _axes(width: float, height: float):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(which="both", length=0)
    return figure, axes


def _svg(figure, name: str) -> str:
    with matplotlib.rc_context({"svg.hashsalt": name}):
        buffer = io.StringIO()
        unnamed = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=unnamed)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    for side in ("height", "width"):
        text = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", text, count=1)
    # Ids are unique in the page.
    text = re.sub(r"\bid=\"", f'id="{name}-', text)
    text = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", text)
    text = re.sub(r"(font: [^;\"']*?px) [^;\"]+", r"\1 var(--sans)", text)
    for colour, variable in _NAMES.items():
        text = re.sub(rf"((?:fill|stroke): ){colour}\b", rf"\1{variable}", text)
    return text
