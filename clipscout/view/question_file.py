"""Questions by id, without holding tens of thousands of them: texts and kinds in memory, the rest read when shown."""

import json
import os
import re
from pathlib import Path
from typing import Any

from navigation import InputError, Question

# A row as `Question.to_dict` writes it, up to the question, none of the three with an escape in it; and its kind.
_HEAD = re.compile(rb'\{"id": "([^"\\]*)", "video_id": "[^"\\]*", "question": "([^"\\]*)"')
_KIND = re.compile(rb'"kind": "([^"\\]*)"\}\s*')


class QuestionFile:
    """A `questions.jsonl`.

    Args:
        path: The file; None where there is none: every lookup then finds nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.texts: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        self._places: dict[str, tuple[int, int, int]] = {}
        self._stamp = None if path is None else _stamp(path)
        if path is not None:
            self._index(path)

    def changed(self) -> bool:
        """Whether the file is no longer the one that was read."""
        return self.path is not None and _stamp(self.path) != self._stamp

    def get(self, question_id: str) -> Question | None:
        """The question, or None if this file does not hold it.

        Raises:
            InputError: it is there and no question.
        """
        place = self._places.get(question_id)
        if place is None or self.path is None:
            return None
        with open(self.path, "rb") as file:
            file.seek(place[0])
            return Question.from_dict(json.loads(file.read(place[1])), f"{self.path}:{place[2]}")

    def _index(self, path: Path) -> None:
        place = 0
        with open(path, "rb", 1 << 20) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    key, text, kind = _quickly(line) or _wholly(line, f"{path}:{number}")
                    self._places[key] = (place, len(line), number)
                    self.texts[key], self.kinds[key] = text, kind
                place += len(line)


def _stamp(path: Path) -> tuple[int, int, int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _quickly(line: bytes) -> tuple[str, str, str] | None:
    """Id, text and kind of a plainly written row, without reading its options and clues: four times faster."""
    head = _HEAD.match(line)
    # Inside a JSON text a quotation mark follows a backslash: the last key of this name is the row's.
    kind = _KIND.fullmatch(line, max(0, line.rfind(b'"kind": ')))
    if head is None or kind is None:
        return None
    try:
        return head.group(1).decode(), head.group(2).decode(), kind.group(1).decode()
    except UnicodeDecodeError:
        return None


def _wholly(line: bytes, source: str) -> tuple[str, str, str]:
    try:
        row: Any = json.loads(line)
        return str(row["id"]), str(row["question"]), str(row.get("kind") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(source, "line", line[:60].decode(errors="replace"), "give one question a line") from None
