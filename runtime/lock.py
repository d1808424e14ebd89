"""A lock that a dead process does not hold."""

import errno
import fcntl
import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

from navigation.errors import InputError

_locked: set[int] = set()


def _let_go() -> None:
    """A forked child would hold its parent's locks on after the parent's death."""
    for handle in _locked:
        os.close(handle)
    _locked.clear()


os.register_at_fork(after_in_child=_let_go)


class RunLock:
    """Exclusive use of a folder or file, as a context manager, by `flock` on the lock file.

    The kernel lets go when the holder dies, however it dies; the holder's children never hold it. The file itself
    stays: removing it would let two processes lock two different files of one name. It says who holds it. Across
    machines it is as good as the file system's `flock` (NFS 4 and Lustre mounted with `flock` pass it on).

    Args:
        path: The lock file.
        what: What is locked, for the message.

    Raises:
        InputError: on entering, if another process holds it (the message says which), if it is a symbolic link, or if
            the file system cannot lock.
    """

    def __init__(self, path: str | Path, what: str = "run") -> None:
        self.path = Path(path)
        self.what = what
        self._handle: int | None = None

    def __enter__(self) -> "RunLock":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Not inheritable: a program started from here would otherwise hold the lock on after our death. And no link: in
        # a folder that others write to it would have us empty whatever it leads to.
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise InputError(self.path, self.what, "a symbolic link", "delete it: a lock is a file") from None
            raise
        try:
            lock_file(handle, self.path, self.what, holder(handle))
            os.ftruncate(handle, 0)
            os.pwrite(handle, (json.dumps(_self()) + "\n").encode(), 0)
        except BaseException:
            close_locked(handle)
            raise
        self._handle = handle
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle in _locked:
            os.ftruncate(self._handle, 0)
            close_locked(self._handle)
        self._handle = None


def lock_file(handle: int, path: Path, what: str, who: str) -> None:
    """Locks an open file or raises an InputError that says who has it. `close_locked` closes it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _locked.add(handle)
    except BlockingIOError:
        hint = f"it is {who}. Wait for its end or stop it: two at once would write the same files"
        raise InputError(path, what, "locked", hint) from None
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise InputError(path, what, str(error), "put this folder on a file system that can lock files") from None
        raise


def close_locked(handle: int) -> None:
    """Closes a file that `lock_file` was called with, and so unlocks it."""
    _locked.discard(handle)
    os.close(handle)


def holder(handle: int) -> str:
    """Who wrote the lock file last, in words."""
    try:
        record = json.loads(os.pread(handle, 4096, 0))
        return f"held by process {record['pid']} on {record['host']} since {record['since']}: {record['command']}"
    except (ValueError, KeyError, TypeError):
        return "held by another process"


def _self() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        # Program name only: arguments may carry a key that someone typed.
        "command": Path(sys.argv[0]).name if sys.argv else "python",
    }
