"""`clipscout compare`: results side by side, as a table, a Markdown file, a page and pictures."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from clipscout.tables import wide_console
from evaluation.comparison import Comparison, compare
from evaluation.comparison_page import INTERVALS, amount, points, share, write_comparison
from evaluation.result import read_result


def compare_results(
    results: Annotated[list[Path], typer.Argument(help="Folders of `clipscout eval`, or their result.jsonl.")],
    out: Annotated[Path | None, typer.Option(help="Also write compare.md, compare.html and pictures there.")] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals' draws.")] = 0,
    title: Annotated[str, typer.Option(help="Of the page.")] = "Comparison",
) -> None:
    """Scores, costs and paired differences of results on the same questions; the first is what others are held against.

    Results of several benchmarks give a table each.
    """
    read = [read_result(path) for path in results]
    console = wide_console()
    for comparison in compare(read, seed):
        for note in comparison.notes:
            console.print(Text(note, style="red"))
        console.print(_table(comparison))
    console.print(f"{INTERVALS}; differences are paired", highlight=False)
    if out is not None:
        for path in write_comparison(read, out, seed, title):
            console.print(Text(str(path)))


def _table(comparison: Comparison) -> Table:
    # Names and benchmarks are data: Text keeps rich from reading markup in them.
    title = Text(f"{comparison.benchmark}: {comparison.questions} questions, {comparison.videos} videos")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("policy", overflow="fold")
    for name in ("accuracy, %", "visits", "captions", "tokens", "seconds", "against first", "answered"):
        table.add_column(name, justify="right")
    for entry in comparison.entries:
        difference = next((each for each in entry.against_first if each.metric == "accuracy"), None)
        table.add_row(
            Text(entry.name), share(entry.accuracy), amount(entry.costs["visits"]), amount(entry.costs["captions"]),
            amount(entry.costs["tokens_read"]), amount(entry.costs["seconds_computed"]),
            "" if difference is None else points(difference), f"{entry.scores.answered}/{entry.scores.n}",
        )  # fmt: skip
    return table
