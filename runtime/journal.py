"""Finished pieces of work on disk, one line each, so that a killed run goes on where it was."""

import json
import os
import threading
import zlib
from collections.abc import Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, Self

from navigation import InputError
from runtime.fingerprint import refuse_other
from runtime.lock import close_locked, lock_file

_KEY = '{"key": "'
_SEAL = b', "crc32": '


class LineFile:
    """Lines on disk that are only ever appended, held by one process at a time.

    Args:
        path: The file; its folder is made.
        what: What it is, for the message.

    Raises:
        InputError: another process has it open.
    """

    def __init__(self, path: str | Path, what: str = "journal") -> None:
        self.path = Path(path)
        self.end = 0
        """Bytes of all whole lines."""
        self.cut = False
        """Whether the last line had no end, since a process died while writing it; it is dropped."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            lock_file(self._handle, self.path, what, "open in another process already")
        except BaseException:
            self.close()
            raise

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Place and bytes of each line. Read all of them once, before the first append."""
        with os.fdopen(os.dup(self._handle), "rb") as file:
            for line in file:
                self.cut = not line.endswith(b"\n")
                if not self.cut:
                    yield self.end, line
                    self.end += len(line)
        if self.cut:
            os.ftruncate(self._handle, self.end)

    def append(self, line: bytes) -> int:
        """Adds a line and returns its place.

        Raises:
            OSError: the disk is full or failing. The file is left as it was before this call.
        """
        place, written = self.end, 0
        try:
            while written < len(line):
                written += os.pwrite(self._handle, line[written:], place + written)
        except OSError:
            os.ftruncate(self._handle, place)
            raise
        self.end += len(line)
        return place

    def read(self, place: int, length: int) -> bytes:
        return os.pread(self._handle, length, place)

    def sync(self) -> None:
        """Returns when all that was appended is on the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        if self._handle >= 0:
            close_locked(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Journal:
    """An append-only JSONL file of `key -> value`, held by one process at a time.

    Lines are `{"key": …, "value": …, "crc32": …}`, the checksum over what precedes it; the first holds the settings.
    Appending the same key again replaces its value. Only keys and file positions are kept in memory.

    - Opening drops a torn last line (the process died while writing it) and skips lines whose checksum is wrong; how
      many is in `damaged`. What they held is asked for again.
    - `append` returns when the operating system has the line. A thread of the journal syncs to disk every
      `sync_seconds`, so that a thousand appends cost one sync and not a thousand.

    Args:
        path: The file; its folder is made.
        settings: JSON values that decide what the values mean. They must be equal on every opening.
        sync_seconds: Longest time until a line is safe from a power cut.

    Raises:
        InputError: another process has it open; it was written under other settings (the message lists the
            differences); its first line is damaged.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any], sync_seconds: float = 1.0) -> None:
        self.path = Path(path)
        self.settings = json.loads(json.dumps(settings))
        self.damaged = 0
        self._places: dict[str, tuple[int, int]] = {}
        self._sync_seconds = sync_seconds
        self._syncer: threading.Thread | None = None
        self._dirty, self._closing = threading.Event(), threading.Event()
        self._sync_error: OSError | None = None
        self._file = LineFile(self.path)
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        """Keys, in the order of their first lines."""
        return iter(list(self._places))

    def __getitem__(self, key: str) -> Any:
        """The last value of a key, read from the file. KeyError if there is none."""
        offset, length = self._places[key]
        return json.loads(self._file.read(offset, length))["value"]

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self._places else default

    def append(self, key: str, value: Any) -> None:
        """Adds one finished piece.

        Raises:
            OSError: the disk is full or failing. The file is left as it was before this call.
        """
        if self._sync_error:
            raise self._sync_error
        self._write(key, value)
        if self._syncer is None:
            self._syncer = threading.Thread(target=self._sync_often, name=f"sync {self.path.name}", daemon=True)
            self._syncer.start()
        self._dirty.set()

    def sync(self) -> None:
        """Returns when all that was appended is on the disk."""
        self._file.sync()

    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._dirty.set()
        if self._syncer:
            self._syncer.join()
        try:
            self.sync()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, key: str | None, value: Any) -> None:
        head = json.dumps({"key": key, "value": value}, ensure_ascii=False)[:-1].encode("utf-8", "backslashreplace")
        line = head + _SEAL + str(zlib.crc32(head)).encode() + b"}\n"
        place = self._file.append(line)
        if key is not None:
            self._places[key] = (place, len(line))

    def _read(self) -> None:
        """Fills the index and checks the settings."""
        for place, line in self._file.lines():
            head, seal, checksum = line.rpartition(_SEAL)
            sound = line.endswith(b"}\n") and bool(seal) and checksum[:-2] == str(zlib.crc32(head)).encode()
            if place == 0 and sound:
                refuse_other(self.path, json.loads(line)["value"]["settings"], self.settings)
            elif place == 0:
                hint = "move this file away to start again: what it was made with cannot be read"
                raise InputError(self.path, "first line", line[:60], hint)
            elif sound:
                self._places[scanstring(head.decode(), len(_KEY))[0]] = (place, len(line))
            else:
                self.damaged += 1
        self.damaged += self._file.cut
        if self._file.end == 0:
            self._write(None, {"settings": self.settings})

    def _sync_often(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()
            try:
                self._file.sync()
            except OSError as error:
                self._sync_error = error
                return
            self._closing.wait(self._sync_seconds)
