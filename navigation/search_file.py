"""The file of a video's search index: arrays that are checked, written whole, mapped into memory, shared by processes.

`<sha256 of the rest>\\n<JSON: format, key, passages, arrays>` padded to 1,024 bytes, then the arrays, each at a
multiple of 64. Nothing in it is unpickled or evaluated.
"""

import errno
import fcntl
import hashlib
import json
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from navigation.files import whole_bytes

FORMAT = "clipscout search 2"
ARRAYS = {"words": "|u1", "bounds": "<i8", "starts": "<i8", "places": "<i4", "weights": "<f4"}
"""`words`: the terms in UTF-8, sorted, one after the other; term i is bytes `bounds[i]` to `bounds[i + 1]`, and
`starts[i]` to `starts[i + 1]` are its `places` (numbers of passages) and their `weights`."""
VECTORS = {"vectors": "<f4", "probe": "<f4"}
"""Where there is an encoder: of the passages, [passages, dimensions], and of a text that tells encoders apart."""
_HEADER, _DIGEST, _APART = 1024, 65, 64
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


def write_index(path: Path, key: str, passages: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an index; it is visible under its name only when complete.

    Args:
        path: The file.
        key: What it was made of and how, as a hash.
        passages: How many texts can be found by it.
        arrays: Those of `ARRAYS`, and of `VECTORS` or none of them.
    """
    kinds, described = ARRAYS | VECTORS, {}
    body = bytearray()
    for name, array in arrays.items():
        body += b"\0" * (-len(body) % _APART)
        described[name] = [list(array.shape), _HEADER + len(body)]
        body += np.ascontiguousarray(array, dtype=kinds[name]).tobytes()
    header = json.dumps({"format": FORMAT, "key": key, "passages": passages, "arrays": described}).encode()
    rest = header.ljust(_HEADER - _DIGEST - 1) + b"\n" + body
    with whole_bytes(path) as file:
        file.write(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)


def open_index(path: Path, key: str, passages: int) -> dict[str, np.ndarray] | None:
    """The arrays of an index, read-only and mapped; None where there is no file, or a damaged or another one."""
    try:
        with open(path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, ValueError):  # mmap refuses an empty file
        return None
    with memoryview(mapped) as view:
        if len(view) < _HEADER or bytes(view[:_DIGEST]) != hashlib.sha256(view[_DIGEST:]).hexdigest().encode() + b"\n":
            return None
        header = json.loads(bytes(view[_DIGEST:_HEADER]))
    if [header.get(name) for name in ("format", "key", "passages")] != [FORMAT, key, passages]:
        return None
    try:
        arrays = {
            name: np.ndarray(tuple(shape), (ARRAYS | VECTORS)[name], mapped, offset)
            for name, (shape, offset) in header["arrays"].items()
        }
        return arrays if _fits(arrays, passages) else None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # a whole file, but nothing that we wrote
        return None


def _fits(arrays: Mapping[str, np.ndarray], passages: int) -> bool:
    """Whether no number in the arrays leads out of them."""
    counts = {"bounds": len(arrays["words"]), "starts": len(arrays["places"])}
    ascending = all(
        array.ndim == 1 and len(array) and array[0] == 0 and array[-1] == count and (np.diff(array) >= 0).all()
        for array, count in ((arrays[name], count) for name, count in counts.items())
    )
    places, weights, starts, bounds = (arrays[name] for name in ("places", "weights", "starts", "bounds"))
    inside = not len(places) or (places.min() >= 0 and places.max() < passages)
    vectors = arrays.get("vectors")
    meant = vectors is None or (vectors.shape == (passages, *arrays["probe"].shape) and vectors.ndim == 2)
    return bool(ascending and inside and meant and places.shape == weights.shape and starts.shape == bounds.shape)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time, by `flock` on a file that is there; it is only read, so that no lock file is left.

    The lock saves work and nothing else: files appear whole. So where the file system cannot lock, nothing waits.
    """
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            yield
            return
        try:
            yield
        finally:
            # Said, not left to closing: a child that was forked meanwhile holds the same lock.
            fcntl.flock(file, fcntl.LOCK_UN)


def fingerprint(*parts: Any) -> "hashlib._Hash":
    """A SHA-256 that has read the parts' JSON."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode() + b"\n")
    return digest
