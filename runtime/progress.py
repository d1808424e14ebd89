"""How far a long run is, on standard error: one line that renews itself, or one line now and then in a log."""

import sys
import time
from collections.abc import Callable
from typing import TextIO


class Progress:
    """Counts finished pieces and says when the rest will be done.

    Args:
        what: Name of the pieces.
        detail: Gives the rest of the line (failures, money).
        stream: Where to; nothing is written if None.
        every: Seconds between lines of a log; a terminal's line renews ten times a second at most.
    """

    def __init__(
        self, what: str, detail: Callable[[], str] = lambda: "", stream: TextIO | None = sys.stderr, every: float = 10.0
    ) -> None:
        self.total = 0
        self.later = 0
        self.finished = 0
        self._what, self._detail, self._stream = what, detail, stream
        self._terminal = stream is not None and stream.isatty()
        self._every = 0.1 if self._terminal else every
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
            self._write("\r\x1b[K" + self.line() if self._terminal else self.line() + "\n")

    def close(self) -> None:
        self._write(("\r\x1b[K" if self._terminal else "") + self.line() + "\n")

    def line(self) -> str:
        seconds = time.monotonic() - self._begun if self._begun else 0.0
        made = self.finished - self._at_begin
        left = self.total + self.later - self.finished
        eta = f", {_duration(left * seconds / made)} left" if made and left and seconds else ""
        speed = f", {made / seconds:.1f}/s" if made and seconds > 1 else ""
        total = f"about {self.total + self.later}" if self.later else str(self.total)
        detail = self._detail()
        return f"{self._what} {self.finished}/{total}{speed}{eta}" + (f" · {detail}" if detail else "")

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
