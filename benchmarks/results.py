"""Results of a long measurement, kept as they come: what runs out of time or memory takes nothing else with it."""

import gc
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


class OutOfTime(BaseException):
    """Not an `Exception`: what catches a result's errors lets it pass."""


class Report:
    """Results, printed and kept as they come.

    Args:
        file: Where they are written as JSON; None: nowhere.
    """

    def __init__(self, file: Path | None) -> None:
        self.file, self.results = file, []

    def add(self, part: str, name: str, **figures: Any) -> None:
        self.results.append({"part": part, "name": name, **figures})
        shown = (
            f"{key}={value:,.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in figures.items()
        )
        print(f"{part:<8}{name}: {', '.join(shown)}", flush=True)
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(self.results, indent=1), encoding="utf-8")

    @contextmanager
    def within(self, part: str, deadline: float) -> Iterator[None]:
        """Runs a part until `deadline` at most, and adds how it ended."""

        def stop(*_: Any) -> None:
            raise OutOfTime

        before, begun, how = signal.signal(signal.SIGALRM, stop), time.monotonic(), "done"
        signal.setitimer(signal.ITIMER_REAL, max(1.0, deadline - begun))
        try:
            yield
        except OutOfTime:
            how = "out of time"
        except Exception as error:
            how = told(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        free()
        self.add(part, "end", how=how, seconds=time.monotonic() - begun)

    def attempt(self, part: str, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Adds what `measure` finds, or why it found nothing."""
        try:
            figures = measure()
        except Exception as error:  # memory, or a kernel that this machine lacks: the other results do not need it
            figures = {"error": told(error)}
        free()
        self.add(part, name, **figures)


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:400]}"


def free() -> None:
    """Gives a GPU's memory back; trainers and their models refer to each other."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
