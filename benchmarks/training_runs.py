"""What benchmarks that train over several seeds share: commands run once each, figures over seeds, curves."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from navigation import write_json
from trainer.recorder import read_metrics

LAUNCH = ["accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml", "-m"]
HELD_OUT = "0.1"
"""Share of videos kept from training, which policies are then compared on."""


def train(
    config: Path, folder: Path, stage: str = "grpo", environment: Mapping[str, str] | None = None, **options: object
) -> Path:
    """SFT or GRPO as a user would start it, unless that is done; returns its folder.

    Args:
        environment: Variables of its process besides this one's.
        options: Flags besides those of the folder and the held-out share.
    """
    options |= {"output_dir": folder, "held_out_share": HELD_OUT}
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    once(folder, [*LAUNCH, f"trainer.{stage}", "--config", str(config), *flags], environment)
    return folder


def evaluate(
    checkpoint: Path,
    data: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    held_out_share: str = HELD_OUT,
    **options: object,
) -> dict[str, Any]:
    """Plays held-out questions with a checkpoint, unless that is done; the policy's summary.

    Args:
        environment: Variables of its process besides this one's.
        held_out_share: Share of the videos in `data` whose questions are played; 0 takes all.
        options: Flags of `clipscout eval`, their words joined by `_`.
    """
    options |= {"model": checkpoint, "data": data, "held_out_share": held_out_share, "out": folder}
    flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    once(folder, ["clipscout.main", "eval", "--policy", "local", *flags], environment)
    (summary,) = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["policies"].values()
    return summary


def once(folder: Path, module: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Runs a module, unless the marker beside its folder says that this very command finished."""
    marker, log = (folder.parent / f"{folder.name}{ending}" for ending in (".done.json", ".log"))
    if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == list(module):
        return
    print(f"{folder}: {' '.join(module)}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as output:
        code = subprocess.run(
            [sys.executable, "-m", *module],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    if code.returncode:
        sys.exit(f"{folder}: exit code {code.returncode}; see {log}")
    write_json(marker, list(module))


def spread(values: Sequence[float | None], digits: int) -> str:
    """Mean ± standard deviation of what is known; nothing where nothing is."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    deviation = f" ± {stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{fmean(known):.{digits}f}{deviation}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    head, *lines = (f"| {' | '.join(line)} |" for line in (columns, *rows))
    return "\n".join([head, "|" + "---|" * len(columns), *lines]) + "\n"


def training_rows(folder: Path) -> list[Mapping[str, Any]]:
    """The logged steps of a run that say something of its episodes."""
    return [row for row in read_metrics(folder / "metrics.jsonl") if "visits" in row]


@contextmanager
def panels(count: int, path: Path, width: float = 11, height: float = 3.8) -> Iterator[Any]:
    """Axes side by side in the pages' style, saved to `path` at the end."""
    import matplotlib
    from matplotlib.figure import Figure

    from evaluation.drawing import STYLE

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "clipscout"}):
        drawing = Figure(figsize=(width, height), layout="constrained")
        yield drawing.subplots(1, count)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(path, dpi=130, facecolor="white", metadata={"Software": None})
