"""What `clipscout compare` prints: a table a benchmark."""

from rich import box
from rich.table import Table
from rich.text import Text

from evaluation.comparison import Comparison
from evaluation.comparison_page import amount, points, share


def table(comparison: Comparison) -> Table:
    """A row a policy."""
    # Names and benchmarks are data: Text keeps rich from reading markup in them.
    title = Text(f"{comparison.benchmark}: {comparison.questions} questions, {comparison.videos} videos")
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    shown.add_column("policy", overflow="fold")
    for name in ("accuracy, %", "visits", "captions", "tokens", "seconds", "against first", "answered"):
        shown.add_column(name, justify="right")
    for entry in comparison.entries:
        difference = next((each for each in entry.against_first if each.metric == "accuracy"), None)
        shown.add_row(
            Text(entry.name), share(entry.accuracy), amount(entry.costs["visits"]), amount(entry.costs["captions"]),
            amount(entry.costs["tokens_read"]), amount(entry.costs["seconds_computed"]),
            "" if difference is None else points(difference), f"{entry.scores.answered}/{entry.scores.n}",
        )  # fmt: skip
    return shown
