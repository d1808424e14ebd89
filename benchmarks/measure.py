"""What the benchmarks share: generated trees, tables of results, and measuring in a process of its own."""

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from navigation import CaptionTree, TimeGrid

_TEXT = "the man woman dog car street walks talks holds opens red blue kitchen"
WORDS = tuple(_TEXT.split())
"""What generated captions and thoughts are made of."""


def random_tree(video_id: str, grid: TimeGrid, rng: random.Random) -> CaptionTree:
    """Captions of about 100 words, as a captioner writes them."""
    return CaptionTree(
        video_id, grid, {path: " ".join(rng.choices(WORDS, k=rng.randint(80, 120))) for path in grid.paths()}
    )


def show(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], width: int | None = None) -> None:
    """Prints a table; all columns but the first are figures."""
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=width).print(table)


def cpu_seconds() -> float:
    """Of this process and its ended children."""
    use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in use)


def peak_mb() -> float:
    """Of this process or its largest ended child, whichever is more."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def in_process(module: str, *arguments: object) -> dict[str, Any]:
    """Runs a module on one thread in a process of its own.

    Returns:
        The JSON object that its last line of output holds, with `cpu_s`, `wall_s` and `peak_mb` of the process.

    Raises:
        SystemExit: the module failed.
    """
    begun = time.monotonic()
    command = [sys.executable, "-m", module, *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert child.stdout is not None
    printed = child.stdout.read().splitlines()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return {
        **json.loads(printed[-1]),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "wall_s": round(time.monotonic() - begun, 2),
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
    }
