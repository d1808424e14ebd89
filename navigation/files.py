"""Files whose names come from data, and files that appear whole or not at all."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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


def write_atomic(path: str | Path, text: str) -> None:
    """Writes a whole file or leaves what was there: a reader never sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        # Not tempfile: its files are for their owner alone, and folders of trees are shared. Half of a surrogate pair,
        # legal in a JSON escape, is written as that escape.
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: str | Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
