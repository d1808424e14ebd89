"""Questions by id, without holding tens of thousands of them: texts and kinds in memory, the rest read when shown."""

import json
from pathlib import Path

from navigation import InputError, Question


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
        if path is not None:
            self._index(path)

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
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        row = json.loads(line)
                        key, text, kind = row["id"], row["question"], row.get("kind") or ""
                        self._places[key] = (place, len(line), number)
                        self.texts[key], self.kinds[key] = str(text), str(kind)
                    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                        found = line[:60].decode(errors="replace")
                        raise InputError(f"{path}:{number}", "line", found, "give one question a line") from None
                place += len(line)
