"""Video-MME: human four-choice questions about short, medium and long videos; trees come from captioning.

File: `test-00000-of-00001.parquet` of lmms-lab/Video-MME with the columns `video_id, duration (short | medium | long),
domain, sub_category, url, videoID, question_id, task_type, question, options (["A. …", …]), answer`. The videos,
and the subtitles of the with-subtitles setting, are named by `videoID`: with or without is a matter of how the trees
were captioned, and their recipe says so.
"""

import re
from pathlib import Path
from typing import Any

from data_gen.corpora import rows
from data_gen.corpora.corpus import Corpus, keep
from data_gen.corpora.source_files import find_files, only, read_parquet
from navigation import LETTERS, Question

NAME = "videomme"
COLUMNS = ("duration", "domain", "sub_category", "videoID", "question_id", "task_type", "question", "options", "answer")
LONGEST = {"short": 120.0, "medium": 900.0, "long": 3600.0}
"""Seconds. The source gives no durations but these classes; an evaluation takes the trees' own."""

_LETTERED = re.compile(r"\s*\(?([A-Z])[.):]\s*")


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """The questions as downloaded, options in the source's order.

    A question's kind is its task type, then `length: …`, `domain: …` and `sub-category: …`, `|` between them.

    Raises:
        InputError: no such file, or a file that is not Video-MME's.
    """
    path = only(NAME, find_files(NAME, data)[0])
    skips = rows.Skips()
    questions = []
    for number, row in enumerate(read_parquet(path, COLUMNS, NAME)):
        with skips.reading(f"{NAME}/row {number}"):
            questions.append(_question(row, skips))
    return Corpus(NAME, keep(questions, seed, limit), skipped=skips.rows)


def _question(row: Any, skips: rows.Skips) -> Question:
    question_id = f"{NAME}/{rows.identifier(row, 'question_id')}"
    length = rows.text(row, "duration")
    if length not in LONGEST:
        raise rows.BadRow("unknown length", f"{question_id}: {rows.shown(length)}")
    options = without_letters(rows.options(rows.items(row, "options")))
    letter = rows.checked_letter(rows.text(row, "answer"), options, question_id)
    labels = [rows.text(row, "task_type"), f"length: {length}", f"domain: {rows.text(row, 'domain')}"]
    labels.append(f"sub-category: {rows.text(row, 'sub_category')}")
    video_id, text = rows.text(row, "videoID"), rows.text(row, "question")
    skips.once(question_id)
    return Question(question_id, video_id, text, options, letter, (), LONGEST[length], NAME, "|".join(labels))


def without_letters(options: tuple[str, ...]) -> tuple[str, ...]:
    """`A. red` as `red`, where every option carries its own letter; otherwise as they are."""
    matches = [_LETTERED.match(option) for option in options]
    for letter, option, match in zip(LETTERS, options, matches, strict=False):
        if match is None or match.group(1) != letter or match.end() == len(option):
            return options
    return tuple(option[match.end() :] for option, match in zip(options, matches, strict=True) if match)
