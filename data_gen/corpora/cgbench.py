"""CG-Bench: human questions with five to eight options and clue intervals; the trees come from captioning the videos.

File: `cgbench_mini.json` or `cgbench.json` of CG-Bench/CG-Bench, a list of `{qid, video_uid, question, answer, choices,
right_answer, clue_intervals, sub_category, duration}`; `right_answer` is a letter, `answer` the text under it.
"""

from pathlib import Path
from typing import Any

from data_gen.corpora import rows
from data_gen.corpora.corpus import Corpus, keep
from data_gen.corpora.source_files import find_files, only, read_json
from navigation import LETTERS, InputError, Question

NAME = "cgbench"


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """The questions as downloaded, options in the source's order.

    Raises:
        InputError: no such file, or a file that is not CG-Bench's.
    """
    path = only(NAME, find_files(NAME, data)[0])
    skips = rows.Skips()
    document = read_json(path, lambda key: skips.add(f"{NAME}/{path.name}", "duplicate key", key))
    if not isinstance(document, list):
        raise InputError(path, "file", rows.shown(document), "cgbench wants a list of questions")
    questions = []
    for number, row in enumerate(document):
        with skips.reading(f"{NAME}/row {number}"):
            questions.append(_question(row, skips))
    return Corpus(NAME, keep(questions, seed, limit), skipped=skips.rows)


def _question(row: Any, skips: rows.Skips) -> Question:
    row = rows.mapping(row)
    question_id = f"{NAME}/{rows.identifier(row, 'qid')}"
    video_id = rows.text(row, "video_uid")
    text = rows.text(row, "question")
    options = rows.options(rows.items(row, "choices"))
    letter = rows.text(row, "right_answer")
    answer = rows.text(row, "answer")
    if letter in LETTERS[: len(options)] and options[LETTERS.index(letter)] != answer:
        detail = f"{question_id}: {letter} is {options[LETTERS.index(letter)]!r}, the answer {answer!r}"
        raise rows.BadRow("letter and answer text differ", detail)
    rows.checked_letter(letter, options, question_id)
    duration = rows.duration(row, "duration")
    clues = rows.clues(rows.get(row, "clue_intervals"), duration)
    kind = rows.optional_text(row, "sub_category")
    skips.once(question_id)
    return Question(question_id, video_id, text, options, letter, clues, duration, NAME, kind)
