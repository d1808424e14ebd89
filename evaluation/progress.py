"""How far an evaluation is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TextIO

from navigation import Trajectory

_EVERY = 5.0
"""Seconds between plain lines."""


class EvaluationProgress:
    """Counts finished episodes and shows speed, time left and the accuracy so far.

    Args:
        label: What is being evaluated.
        total: Episodes in all.
        finished: Those that an earlier run finished.
        stream: Where to write; default: standard error.
    """

    def __init__(self, label: str, total: int, finished: list[Trajectory], stream: TextIO | None = None) -> None:
        self.label, self.total, self.done = label, total, len(finished)
        self._earlier = self.done
        self._correct = sum(trajectory.correct for trajectory in finished)
        self._stream = stream or sys.stderr
        self._bar = None

    def __enter__(self) -> "EvaluationProgress":
        self._begun = self._shown = time.monotonic()
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[accuracy]}"), console=Console(file=self._stream),
            )  # fmt: skip
            self._task = self._bar.add_task(self.label, total=self.total, completed=self.done, accuracy="")
            self._bar.start()
        elif self._earlier:
            self._write(f"{self.label}: {self._earlier} of {self.total} were finished before")
        return self

    def advance(self, trajectory: Trajectory) -> None:
        self.done += 1
        self._correct += trajectory.correct
        if self._bar is not None:
            self._bar.update(self._task, advance=1, accuracy=f"accuracy {self._correct / self.done:.3f}")
        elif time.monotonic() - self._shown >= _EVERY:
            self._shown = time.monotonic()
            self._write(self._line())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._write(self._line())

    def _line(self) -> str:
        speed = (self.done - self._earlier) / max(1e-9, time.monotonic() - self._begun)
        line = f"{self.label}: {self.done}/{self.total}"
        if self.done:
            line += f", accuracy {self._correct / self.done:.3f}"
        if speed:
            line += f", {speed:.1f}/s"
        if speed and self.done < self.total:
            line += f", {(self.total - self.done) / speed:.0f} s left"
        return line

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)
