"""Tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def policy_table(policies: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints accuracy with its interval, visits and cost of each policy."""
    table = Table(title="accuracy against visits")
    for column in ("policy", "accuracy", "95 %", "visits", "visit cost", "with index", "grounding", "answered / N"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, row in policies.items():
        low, high = row["accuracy_ci"]
        table.add_row(
            name, f"{row['accuracy']:.3f}", f"{low:.3f}-{high:.3f}", f"{row['visits']:.2f}", f"{row['visit_cost']:.2f}",
            _number(row.get("visit_cost_with_index")), _number(row.get("grounding"), 3),
            f"{row['answered']} / {row['n']}",
        )  # fmt: skip
    wide_console().print(table)


def wide_console() -> Console:
    """A console as wide as the terminal; 120 columns in a file or pipe, where nothing would be gained by cutting."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"
