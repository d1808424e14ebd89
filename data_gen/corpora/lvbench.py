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
from navigation.times import read_spans

NAME = "lvbench"
_OPTION = re.compile(r"\n\s*\(([A-Z])\)\s*")
LONGEST_CUT = 60.0
"""Seconds of a reference that may lie past the video's end: the source states whole minutes."""


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """The questions as downloaded, options in the source's order; a question's kind is its types, `|` between them.

    Durations are whole minutes in the source. A reference that passes the stated end by less than a minute is cut
    there; one that passes it by more, is reversed or no span of clock times leaves its question without clues. Both are
    listed among the skipped rows. A reference never changes a duration.

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
    if duration < rows.SHORTEST_VIDEO:
        raise rows.BadRow("duration below one second", f"duration_minutes is {duration / 60}")
    asked = rows.items(row, "qa")
    skips.once(f"{NAME}/{video_id}")
    found = []
    for number, qa in enumerate(asked):
        with skips.reading(f"{NAME}/{video_id}/{number}"):
            found.append(_question(qa, video_id, duration, skips))
    return found


def _question(qa: Any, video_id: str, duration: float, skips: rows.Skips) -> Question:
    qa = rows.mapping(qa)
    question_id = f"{NAME}/{rows.identifier(qa, 'uid')}"
    text, options = split_options(rows.get(qa, "question"))
    letter = rows.checked_letter(rows.text(qa, "answer").strip("()."), options, question_id)
    kinds = [rows.as_text(kind, "question_type") for kind in rows.items(qa, "question_type", optional=True)]
    skips.once(question_id)
    clues: tuple[tuple[float, float], ...] = ()
    # The question is sound whatever its reference is: it stays, without clues.
    with skips.reading(question_id):
        clues = _references(qa.get("time_reference"), question_id, duration, skips)
    return Question(question_id, video_id, text, options, letter, clues, duration, NAME, "|".join(kinds))


def split_options(value: Any) -> tuple[str, tuple[str, ...]]:
    """`…?\\n(A) one\\n(B) two` as the question and its options, whose letters must follow one another from A."""
    if not isinstance(value, str):
        raise rows.BadRow("wrong type", f"question is {rows.shown(value)}, not a text")
    text, *pieces = _OPTION.split(value)
    letters, options = pieces[0::2], pieces[1::2]
    if "".join(letters) != LETTERS[: len(letters)]:
        raise rows.BadRow("options out of order", f"letters are {rows.shown(''.join(letters))}")
    return rows.as_text(text, "question"), rows.options(options)


def _references(value: Any, question_id: str, duration: float, skips: rows.Skips) -> tuple[tuple[float, float], ...]:
    """`00:15-00:19` or several in seconds, in time order; one time stands for its second; nothing is no reference."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if not isinstance(value, str):
        raise rows.BadRow("wrong type", f"time_reference is {rows.shown(value)}, not a text")
    spans, unread = read_spans(value, clocks_only=True, moments=True)
    if unread or not all(begin < end for begin, end in spans):
        raise rows.BadRow("unreadable time reference", rows.shown(value))
    if any(begin >= duration or end >= duration + LONGEST_CUT for begin, end in spans):
        raise rows.BadRow("time reference past the video's end", f"{rows.shown(value)}, the video lasts {duration} s")
    if any(end > duration for _, end in spans):
        detail = f"{rows.shown(value)}, the video lasts {duration} s"
        skips.add(question_id, "time reference cut at the video's end", detail)
    return tuple(sorted((begin, min(duration, end)) for begin, end in spans))
