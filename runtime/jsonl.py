"""JSONL files: written whole or not at all, read one line at a time."""

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from navigation import InputError, Trajectory


def write_lines(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows one by one, so that memory does not grow with them; the file appears when it is complete.

    Returns:
        How many rows.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are for their owner alone, and folders of trajectories are shared.
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    count = 0
    try:
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file; InputError with file and line for one that is no JSON object."""
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "file", None, "not there: make it with `clipscout teacher` or `make traces` first")
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}:{number}", "line", line[:60], f"give one JSON object ({error})") from None
                if not isinstance(row, dict):
                    raise InputError(f"{path}:{number}", "line", line[:60], "give one JSON object")
                yield row


def read_trajectories(path: str | Path) -> Iterator[Trajectory]:
    """Trajectories of a file, one at a time; InputError with file and line for a row that is none."""
    for number, row in enumerate(read_rows(path), 1):
        try:
            yield Trajectory.from_dict(row)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: row {number}", "trajectory", str(error), "give a Trajectory record") from None
