"""A worker process whose parent has died stops, so that nothing writes on after a run was killed."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import multiprocess

_PR_SET_PDEATHSIG = 1
_tied = False


def stop_when_orphaned() -> None:
    """Ends this process by SIGKILL as soon as the process that started it as a worker is gone; else does nothing.

    For worker processes of datatrove's pools (local with several tasks, Ray). All our work is in journals, so the
    hardest end is also the safe one. A process that is no worker is left alone.
    """
    parent = multiprocess.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="orphan watch", daemon=True).start()


@contextmanager
def forks_die_with_us() -> Iterator[None]:
    """Processes forked meanwhile are killed by the kernel as soon as this one is gone.

    For the manager process of datatrove's local executor, which would otherwise wait for ever for one that was killed.
    On Linux; elsewhere it does nothing.
    """
    global _tied
    before, _tied = _tied, True
    try:
        yield
    finally:
        _tied = before


def _tie() -> None:
    if _tied and hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_libc = ctypes.CDLL(None)
os.register_at_fork(after_in_child=_tie)
