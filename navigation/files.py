"""Files whose names come from data, and files that appear whole or not at all."""

import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from navigation.errors import InputError

_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


def id_to_name(identifier: str) -> str:
    """A file name for an id from a data file: injective, inside its folder, readable where the id is.

    A plain id is its own name. Any other keeps its harmless characters and gains a hash, so that `a/b`, `a b` and
    `../a` neither meet nor leave the folder.
    """
    if _SAFE_NAME.fullmatch(identifier) and "~" not in identifier:
        return identifier
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", identifier)[:60]
    return f"{readable}~{hashlib.sha256(identifier.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def child_path(folder: str | Path, identifier: str, suffix: str) -> Path:
    """Path of the file for `identifier` inside `folder`."""
    if not isinstance(identifier, str) or not identifier:
        raise InputError(folder, "id", identifier, "give a text that is not empty")
    return Path(folder) / (id_to_name(identifier) + suffix)


@contextmanager
def whole_bytes(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write that appears when it is complete, or leaves what was there: nobody sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        # Not tempfile: its files are for their owner alone, and folders of trees are shared.
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_file(path: str | Path) -> Iterator[TextIO]:
    """The same for text."""
    with whole_bytes(path) as file:
        # Half of a surrogate pair, legal in a JSON escape, is written as that escape.
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace")
        try:
            yield text
        finally:
            text.detach()  # writes what it holds; closing the file is not its to do


def write_atomic(path: str | Path, text: str) -> None:
    """Writes a whole file or leaves what was there."""
    with whole_file(path) as file:
        file.write(text)


def write_json(path: str | Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows one by one, so that memory does not grow with them; returns how many."""
    count = 0
    with whole_file(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_jsonl(
    path: str | Path, hint: str = "give one JSON object a line", cut_end: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(file:line, row)` of a JSONL file, one at a time; blank lines are passed over.

    Args:
        path: The file.
        hint: What to do about a file or a line that cannot be used.
        cut_end: Whether a last line without its end, which a process was killed while writing, is left out.

    Raises:
        InputError: no such file, or a line that is no JSON object.
    """
    try:
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip() and (line.endswith(b"\n") or not cut_end):
                    yield f"{path}:{number}", read_line(line, f"{path}:{number}", hint)
    except OSError as error:
        raise InputError(path, "file", error.strerror, hint) from None


def read_line(line: bytes, source: str, hint: str = "give one JSON object a line") -> dict[str, Any]:
    """One line of a JSONL file as an object; InputError with `source` if it is none."""
    try:
        row = json.loads(line.decode("utf-8-sig", "surrogatepass"))
        if not isinstance(row, dict):
            raise ValueError("no JSON object")
    # Not UTF-8, not JSON, an integer of thousands of digits, or brackets nested too deep to read.
    except (ValueError, RecursionError) as error:
        raise InputError(source, "line", line.decode(errors="replace").strip(), f"{hint} ({error})") from None
    return row
