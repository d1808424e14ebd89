"""How far a long run is, on standard error: a bar on a terminal, one line now and then in a log."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress:
    """Counts finished pieces and says when the rest will be done.

    Args:
        what: Name of the pieces.
        detail: Gives the rest of the line (failures, money).
        stream: Where to; nothing is written if None.
        every: Seconds between lines of a log.
    """

    def __init__(
        self, what: str, detail: Callable[[], str] = lambda: "", stream: TextIO | None = sys.stderr, every: float = 10.0
    ) -> None:
        self.total = 0
        self.later = 0
        self.finished = 0
        self._what, self._detail, self._stream = what, detail, stream
        self._bar = _bar(stream) if stream is not None and stream.isatty() else None
        self._every = every if self._bar is None else 0.1
        self._begun: float | None = None
        self._at_begin = 0
        self._last = time.monotonic()

    def expect(self, count: int) -> None:
        """More pieces are to come."""
        self.total += count

    def guess_later(self, count: float) -> None:
        """About how many pieces are to come that nobody has counted yet."""
        self.later = round(count)

    def resume(self, count: int) -> None:
        """Pieces that an earlier run has finished; they do not count for the speed."""
        self.finished += count
        self._at_begin += count

    def advance(self, count: int = 1) -> None:
        self.finished += count
        if self._begun is None:
            self._begun = time.monotonic()
        if time.monotonic() - self._last >= self._every:
            self._show()

    def close(self) -> None:
        """Says the last line."""
        self._show()
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def line(self) -> str:
        seconds = time.monotonic() - self._begun if self._begun else 0.0
        made = self.finished - self._at_begin
        left = self.total + self.later - self.finished
        eta = f", {_duration(left * seconds / made)} left" if made and left and seconds else ""
        speed = f", {made / seconds:.1f}/s" if made and seconds > 1 else ""
        total = f"about {self.total + self.later}" if self.later else str(self.total)
        detail = self._detail()
        return f"{self._what} {self.finished}/{total}{speed}{eta}" + (f" · {detail}" if detail else "")

    def _show(self) -> None:
        self._last = time.monotonic()
        if self._bar is not None:
            self._bar.start()
            total = self.total + self.later
            self._bar.update(self._bar.task_ids[0], completed=self.finished, total=total, line=self.line())
        elif self._stream is not None:
            self._stream.write(self.line() + "\n")
            self._stream.flush()


def _bar(stream: TextIO) -> "Bar":
    # Rich is slow to import, and a run that writes to a log does without it.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(BarColumn(), TextColumn("{task.fields[line]}", markup=False), console=Console(file=stream))
    bar.add_task("", line="")
    return bar


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
