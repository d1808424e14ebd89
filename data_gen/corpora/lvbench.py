"""LVBench: human questions about videos of an hour and more; the trees come from captioning the videos.

File: `video_info.meta.jsonl` of THUDM/LVBench, one video a line: `{"key", "type", "video_info": {"duration_minutes"},
"qa": [{"uid", "question": "…\\n(A) …\\n(B) …", "answer": "D", "question_type": […], "time_reference":
"00:15-00:19"}]}`; times as MM:SS or H:MM:SS, or none.
"""

import re
from pathlib import Path
from typing import Any

from data_gen.corpora import rows
from data_gen.corpora.corpus import Corpus, keep
from data_gen.corpora.source_files import find_files, only, read_json_lines
from navigation import LETTERS, Question

NAME = "lvbench"
_OPTION = re.compile(r"\n\s*\(([A-Z])\)\s*")
_CLOCK = r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2})"
_REFERENCE = re.compile(rf"\s*{_CLOCK}(?:\s*[-–—~]\s*{_CLOCK})?\s*", re.ASCII)


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """The questions as downloaded, options in the source's order; a question's kind is its types, `|` between them.

    Durations are whole minutes in the source. A reference that passes the stated end makes the video as long as that
    reference, for all its questions.

    Raises:
        InputError: no such file, or a file that is not LVBench's.
    """
    path = only(NAME, find_files(NAME, data)[0])
    skips = rows.Skips()
    questions: list[Question] = []
    for number, video in read_json_lines(path, lambda key: skips.add(f"{NAME}/{path.name}", "duplicate key", key)):
        with skips.reading(f"{NAME}/line {number}"):
            questions.extend(_video(video, skips))
    return Corpus(NAME, keep(questions, seed, limit), skipped=skips.rows)


def _video(row: Any, skips: rows.Skips) -> list[Question]:
    row = rows.mapping(row)
    video_id = rows.text(row, "key")
    information = rows.mapping(rows.get(row, "video_info"))
    duration = 60 * rows.number(rows.get(information, "duration_minutes"), "duration_minutes")
    asked = rows.items(row, "qa")
    skips.once(f"{NAME}/{video_id}")
    found: list[tuple[dict[str, Any], tuple[float, float] | None]] = []
    for number, qa in enumerate(asked):
        with skips.reading(f"{NAME}/{video_id}/{number}"):
            found.append(_question(qa, skips))
    duration = max([duration, *(clue[1] for _, clue in found if clue is not None)])
    if duration < rows.SHORTEST_VIDEO:
        raise rows.BadRow("duration below one second", f"duration_minutes is {duration / 60}")
    return [
        Question(
            video_id=video_id, duration=duration, source=NAME, clue_intervals=() if clue is None else (clue,), **row
        )
        for row, clue in found
    ]


def _question(qa: Any, skips: rows.Skips) -> tuple[dict[str, Any], tuple[float, float] | None]:
    qa = rows.mapping(qa)
    question_id = f"{NAME}/{rows.identifier(qa, 'uid')}"
    text, options = split_options(rows.get(qa, "question"))
    letter = rows.text(qa, "answer").strip("().")
    if len(letter) != 1 or letter not in LETTERS[: len(options)]:
        raise rows.BadRow("answer not among the options", f"{question_id}: {rows.shown(letter)}")
    kinds = [rows.as_text(kind, "question_type") for kind in rows.items(qa, "question_type", optional=True)]
    clue = _reference(rows.optional_text(qa, "time_reference"))
    skips.once(question_id)
    row = {"id": question_id, "question": text, "options": options, "answer": letter, "kind": "|".join(kinds)}
    return row, clue


def split_options(value: Any) -> tuple[str, tuple[str, ...]]:
    """`…?\\n(A) one\\n(B) two` as the question and its options, whose letters must follow one another from A."""
    if not isinstance(value, str):
        raise rows.BadRow("wrong type", f"question is {rows.shown(value)}, not a text")
    text, *pieces = _OPTION.split(value)
    letters, options = pieces[0::2], pieces[1::2]
    if "".join(letters) != LETTERS[: len(letters)]:
        raise rows.BadRow("options out of order", f"letters are {rows.shown(''.join(letters))}")
    return rows.as_text(text, "question"), rows.options(options)


def _reference(text: str) -> tuple[float, float] | None:
    """`00:15-00:19` in seconds; one time stands for its second; anything else is no reference."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    numbers = [int(group or 0) for group in match.groups()]
    begin = 3600 * numbers[0] + 60 * numbers[1] + numbers[2]
    end = 3600 * numbers[3] + 60 * numbers[4] + numbers[5] if match.group(5) else begin + 1
    return (float(begin), float(end)) if begin < end else None
