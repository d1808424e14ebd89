"""`summary.json`: what every policy of one evaluation scored, and what it took."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.bootstrap import LEVEL, METHOD
from navigation import InputError, write_json


def write_summary(
    path: str | Path, policies: Mapping[str, Mapping[str, Any]], seconds: float, seed: int
) -> dict[str, Any]:
    """Writes and returns `{"policies": {name: summary}, "seconds", "seed", "interval"}`.

    Args:
        path: The file.
        policies: What `metrics.summarise` made of each policy, all on the same questions.
        seconds: Wall time.
        seed: Of the policies, the draws of the intervals included.
    """
    summary = {
        "policies": dict(policies),
        "seconds": round(seconds, 3),
        "seed": seed,
        "interval": f"{100 * LEVEL:.0f} % intervals, {METHOD}",
    }
    write_json(path, summary)
    return summary


def read_summary(path: str | Path) -> dict[str, Any]:
    """A summary from its file.

    Raises:
        InputError: no such file, or a file that is no summary.
    """
    try:
        summary = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, "file", str(error), "give the summary.json of a finished evaluation") from None
    if not isinstance(summary, dict) or not isinstance(summary.get("policies"), dict):
        raise InputError(path, "policies", None, "give the summary.json of a finished evaluation")
    return summary
