"""Holds decoding back while too many frames wait for captions."""

import threading


class Closed(Exception):
    """The run is stopping: decode no further."""


class ByteGate:
    """A bound on the bytes of frames that wait for a caption or are being captioned.

    `acquire` blocks a decoding thread until there is room; something larger than the bound passes when nothing else is
    held, so that nothing waits for ever. Not counted: the unfinished segments of each decoding thread, one a level.

    Args:
        limit: Bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.peak = 0
        self._closed = False
        self._changed = threading.Condition()

    def acquire(self, count: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.held or self.held + count <= self.limit)
            if self._closed:
                raise Closed
            self.held += count
            self.peak = max(self.peak, self.held)

    def release(self, count: int) -> None:
        with self._changed:
            self.held -= count
            self._changed.notify_all()

    def close(self) -> None:
        """Wakes all who wait, with `Closed`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
