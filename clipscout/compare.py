"""`clipscout compare`: results side by side, as a table, a Markdown file, a page and pictures."""

from pathlib import Path
from typing import Annotated

import typer


def compare_results(
    results: Annotated[list[Path], typer.Argument(help="Folders of `clipscout eval`, or their result.jsonl.")],
    out: Annotated[Path | None, typer.Option(help="Also write compare.md, compare.html and pictures there.")] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals' draws.")] = 0,
    title: Annotated[str, typer.Option(help="Of the page.")] = "Comparison",
) -> None:
    """Scores, costs and paired differences of results on the same questions; the first is what others are held against.

    Results of several benchmarks give a table each.
    """
    from rich.text import Text

    from clipscout.compare_table import table
    from clipscout.tables import wide_console
    from evaluation.comparison import compare
    from evaluation.comparison_page import INTERVALS, write_comparison
    from evaluation.result import read_result

    read = [read_result(path) for path in results]
    console = wide_console()
    for comparison in compare(read, seed):
        for note in comparison.notes:
            console.print(Text(note, style="red"))
        console.print(table(comparison))
    console.print(f"{INTERVALS}; differences are paired", highlight=False)
    if out is not None:
        for path in write_comparison(read, out, seed, title):
            console.print(Text(str(path)))
