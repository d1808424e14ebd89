"""A comparison as Markdown, one HTML page and pictures: regenerated from result files, the same bytes each time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from evaluation.bootstrap import LEVEL, METHOD, Estimate
from evaluation.comparison import COSTS, Comparison, Difference, compare
from evaluation.comparison_charts import figures, save_pictures
from evaluation.result import Result
from evaluation.style import colour_class, number, percent, template
from navigation import write_atomic

INTERVALS = f"{100 * LEVEL:.0f} % intervals, {METHOD}"


def write_comparison(
    results: Sequence[Result],
    out: str | Path,
    seed: int = 0,
    title: str = "Comparison",
    other_judges: bool = False,
) -> list[Path]:
    """Writes `compare.md`, `compare.html` and a PNG for each picture into `out`; returns what was written."""
    out = Path(out)
    comparisons = compare(results, seed, other_judges)
    write_atomic(out / "compare.md", "\n".join(markdown(comparison) for comparison in comparisons))
    write_atomic(out / "compare.html", page(comparisons, title))
    pictures = [path for comparison in comparisons for path in save_pictures(comparison, out)]
    return [out / "compare.md", out / "compare.html", *pictures]


def markdown(comparison: Comparison) -> str:
    """Tables of one benchmark: scores and costs, build, differences."""
    asked = f"{comparison.questions:,} questions on {comparison.videos:,} videos"
    guess = f"guessing is right in {percent(comparison.chance)}"
    lines = [f"### {_cell(comparison.benchmark)}", "", f"{asked}; {guess}. {INTERVALS}.", ""]
    lines += [f"> {_cell(note)}" for note in comparison.notes] + ([""] if comparison.notes else [])
    for table in tables(comparison):
        lines += [f"**{_cell(table['title'])}**", ""]
        lines += [
            "| " + " | ".join(map(_cell, table["head"])) + " |",
            "|---" + "|---:" * (len(table["head"]) - 1) + "|",
        ]
        lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in table["rows"]]
        lines += ["", _cell(table["note"]), ""] if table["note"] else [""]
    return "\n".join(lines)


def page(comparisons: Sequence[Comparison], title: str) -> str:
    """One HTML file, no request to anywhere."""
    parts = [
        {
            "comparison": comparison,
            "tables": tables(comparison),
            "chance": percent(comparison.chance),
            "figures": [(name, Markup(svg)) for name, svg in figures(comparison).items()],
            "dots": {entry.name: colour_class(entry.name, place) for place, entry in enumerate(comparison.entries)},
        }
        for comparison in comparisons
    ]
    return template("compare.html").render(title=title, parts=parts, intervals=INTERVALS)


def tables(comparison: Comparison) -> list[dict[str, Any]]:
    """Every table as `{title, head, rows, note}` of texts."""
    found = [_scores(comparison), _costs(comparison), _build(comparison)]
    if len(comparison.entries) > 1:
        found.append(_differences(comparison))
    if any(entry.pass_at for entry in comparison.entries):
        found.append(_samples(comparison))
    return [*found, _categories(comparison)]


def _scores(comparison: Comparison) -> dict[str, Any]:
    metrics = list(comparison.entries[0].scores.metrics)
    closed = any(entry.above_closed_book for entry in comparison.entries)
    head = ["policy", *metrics, *(["above closed book"] if closed else []), "answered / N", "unparsable"]
    rows = []
    for entry in comparison.entries:
        scores = entry.scores
        row = [entry.name, *(share(scores.metrics[metric]) for metric in metrics)]
        if closed:
            row.append("" if entry.above_closed_book is None else points(entry.above_closed_book))
        rows.append([*row, f"{scores.answered:,} / {scores.n:,}", str(scores.unparsable)])
    note = f"Rule: {comparison.entries[0].scores.rule.rstrip('.')}."
    if unread := sum(row.unread_evidence for entry in comparison.entries for row in entry.result.rows):
        note += f" {unread:,} pieces of cited evidence could not be read."
    return {"title": "Scores", "head": head, "rows": rows, "note": note}


def _costs(comparison: Comparison) -> dict[str, Any]:
    rows = [
        [entry.name, share(entry.accuracy), *(amount(entry.costs[cost]) for cost in COSTS)]
        for entry in comparison.entries
    ]
    note = (
        "Means a question. Captions needed: those opened, those of an index, and the top level where it is read. "
        "Tokens read: characters / 4 of all texts, each once. USD and seconds are computed from calls by the card's "
        "cost model."
    )
    return {"title": "Costs", "head": ["policy", "accuracy", *COSTS.values()], "rows": rows, "note": note}


def _build(comparison: Comparison) -> dict[str, Any]:
    rows = []
    for entry in comparison.entries:
        made, full = (entry.result.build[name] for name in ("on_demand", "full_index"))
        of_all = percent(made["captions"] / full["captions"])
        spent = [f"{made['frames']:,.0f}", f"{made['usd']:.2f}", f"{made['seconds'] / 3600:.1f}"]
        rows.append([entry.name, f"{made['captions']:,.0f}", of_all, *spent])
    full = comparison.entries[0].result.build["full_index"]
    note = (
        f"All questions together, a video's questions sharing its captions. All captions of all trees: "
        f"{full['captions']:,.0f}, {full['frames']:,.0f} frames, {full['usd']:.2f} USD, {full['seconds'] / 3600:.1f} "
        f"h."
    )
    head = ["policy", "captions made", "of all", "frames captioned", "USD", "hours, one at a time"]
    return {"title": "What captions cost when they are made on demand", "head": head, "rows": rows, "note": note}


def _differences(comparison: Comparison) -> dict[str, Any]:
    rows = []
    for entry in comparison.entries[1:]:
        found = {difference.metric: difference for difference in entry.against_first}
        accuracy, visits = found["accuracy"], found["visits"]
        fewer = f"{visits.value:+.2f} ({visits.low:+.2f} to {visits.high:+.2f})"
        rows.append([entry.name, points(accuracy), _p(accuracy), fewer, _p(visits)])
    first = comparison.entries[0].name
    head = ["policy", "accuracy, points", "p", "visits", "p"]
    note = f"Paired bootstrap over the same questions: each policy minus {first}."
    return {"title": f"Against {first}", "head": head, "rows": rows, "note": note}


def _samples(comparison: Comparison) -> dict[str, Any]:
    sizes = sorted({int(k) for entry in comparison.entries for k in entry.pass_at})
    tried = [entry for entry in comparison.entries if entry.pass_at]
    rows = [[entry.name, *(percent(entry.pass_at.get(str(k))) for k in sizes)] for entry in tried]
    head = ["policy", *(f"pass@{k}" for k in sizes)]
    return {"title": "Right in one of k attempts", "head": head, "rows": rows, "note": ""}


def _categories(comparison: Comparison) -> dict[str, Any]:
    labels = list(comparison.entries[0].scores.categories)
    head = ["policy", *(f"{label} (N {comparison.entries[0].scores.categories[label].n})" for label in labels)]
    rows = [[entry.name, *(share(entry.scores.categories[label]) for label in labels)] for entry in comparison.entries]
    return {"title": "Accuracy by category", "head": head, "rows": rows, "note": ""}


def share(estimate: Estimate) -> str:
    """`52.3 (47.0-57.7)`: percent with its interval."""
    if estimate.value is None:
        return "–"
    text = f"{100 * estimate.value:.1f}"
    return text if estimate.low is None else f"{text} ({100 * estimate.low:.1f}-{100 * (estimate.high or 0):.1f})"


def amount(estimate: Estimate) -> str:
    value = estimate.value
    if value is None:
        return "–"
    return f"{value:.4f}" if 0 < value < 0.1 else number(value)


def points(difference: Difference) -> str:
    """`+12.0 (+8.1 to +15.9)`: percentage points with their interval."""
    return f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def _p(difference: Difference) -> str:
    return "< 0.001" if difference.p < 0.001 else f"{difference.p:.3f}"


def _cell(text: str) -> str:
    """A text from a result file as one Markdown cell: nothing in it can end the cell or begin markup."""
    flat = " ".join(str(text).split())
    for letter in "\\`*_[]<>|#":
        flat = flat.replace(letter, "\\" + letter)
    return flat
