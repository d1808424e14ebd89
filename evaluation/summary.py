"""`summary.json`: what every policy of one evaluation scored, and what it took."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.bootstrap import LEVEL, METHOD
from evaluation.scorers import Scores
from navigation import InputError, write_json


def write_summary(
    path: str | Path, policies: Mapping[str, Mapping[str, Any]], seconds: float, seed: int,
    card: Mapping[str, Any] | None = None, build: Mapping[str, Any] | None = None, scores: Scores | None = None,
    measured: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Writes and returns `{"policies": {name: summary}, "seconds", "seed", "interval"}`, and what else is given.

    Args:
        path: The file.
        policies: What `metrics.summarise` made of each policy, all on the same questions.
        seconds: Wall time.
        seed: Of the policies, the draws of the intervals included.
        card: What the results depend on.
        build: What captions cost to make.
        scores: The benchmark's official figures.
        measured: Mean wall seconds of an episode on this machine.
    """
    summary = {
        "policies": dict(policies),
        "seconds": round(seconds, 3),
        "seed": seed,
        "interval": f"{100 * LEVEL:.0f} % intervals, {METHOD}",
    }
    more = {
        "card": card, "build": build, "scores": None if scores is None else asdict(scores),
        "seconds_measured": None if measured is None else round(measured, 4),
    }  # fmt: skip
    summary |= {name: value for name, value in more.items() if value is not None}
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
