"""The released LongVideo-R1 RL rows as questions."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from navigation import InputError, Question, SkippedRow

_OPTION = re.compile(r"^\s*\(?[A-Z]\s*[).:]\s*")


def import_released_rl(
    rows: Iterable[Mapping[str, Any]], source: str = "longvideo-r1"
) -> Iterator[Question | SkippedRow]:
    """Questions of RL rows: `question, choices, right_answer, video_uid, clue_intervals, width, duration, fps`.

    `width` and `fps` belong to the caption tree and the video, see `released_videos`. `right_answer` may be a letter
    or the option's text; `choices` a list, a mapping by letter, or either written as JSON.
    """
    for number, row in enumerate(rows):
        name = f"{source}/{row.get('id', row.get('uid', number))}"
        try:
            yield _rl_question(row, name, source)
        except (InputError, ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError) as error:
            yield SkippedRow(name, "unusable row", str(error), row)


def released_videos(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What RL rows say about their videos, each video once: `video_id, width, duration, fps`."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.get("video_uid") is not None:
            video = str(row["video_uid"])
            found.setdefault(video, {"video_id": video, **{key: row.get(key) for key in ("width", "duration", "fps")}})
    return list(found.values())


def _rl_question(row: Mapping[str, Any], name: str, source: str) -> Question:
    choices = _decoded(row["choices"])
    if isinstance(choices, Mapping):
        choices = [choices[letter] for letter in sorted(choices)]
    options = [_OPTION.sub("", str(choice)) for choice in choices]
    right = str(row["right_answer"]).strip()
    if len(right.strip("().")) == 1 and right.strip("().").upper().isalpha():
        letter = right.strip("().").upper()
    else:
        places = [index for index, option in enumerate(options) if option == _OPTION.sub("", right)]
        if len(places) != 1:
            raise InputError(name, "right_answer", right, "give a letter, or the text of exactly one option")
        letter = chr(ord("A") + places[0])
    clues = _decoded(row.get("clue_intervals") or [])
    record = {
        "id": name, "video_id": str(row["video_uid"]), "question": row["question"], "options": options,
        "answer": letter, "clue_intervals": clues, "duration": float(row["duration"]), "source": source,
    }  # fmt: skip
    return Question.from_dict(record, name)


def _decoded(value: Any) -> Any:
    """A list or mapping, possibly written as JSON or as a Python literal (never evaluated)."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return ast.literal_eval(value)
