"""MLVU, dev and test: human questions with candidates, no clue intervals; the trees come from captioning the videos.

Files, any of:
- dev: the closed tasks `1_plotQA.json` … `7_topic_reasoning.json` of MLVU/MVLU, in the folder or in `json/` below, each
  a list of `{video, duration, question, candidates, answer, question_type}`; `answer` is the text of a candidate;
- dev's two tasks in words, `8_sub_scene.json` and `9_summary.json`, in a folder without the closed ones, which are a
  benchmark of their own: rows without candidates, whose `answer` is the reference;
- dev as parquet (`mlvu_dev….parquet`): `video_name, question, candidates, answer, task_type`, without durations;
- test: `test_….json` with the answers, rows as in dev, with a `question_id`; the answer may be the letter.
"""

from pathlib import Path
from typing import Any

from data_gen.corpora import rows
from data_gen.corpora.corpus import Corpus, keep
from data_gen.corpora.source_files import find_files, only, read_json, read_parquet
from navigation import LETTERS, InputError, Question

NAME = "mlvu"
COLUMNS = ("video_name", "question", "candidates", "answer", "task_type")
IN_WORDS = ("8", "9")
"""First signs of the tasks that are answered in words."""
UNSTATED = 3600.0
"""Seconds of a video whose row states none; an evaluation takes the trees' own."""


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """The questions as downloaded, options in the source's order; ids are `mlvu/<file>/<row>`, rows counted from 0.

    Raises:
        InputError: no such files, or a file that is not MLVU's.
    """
    skips = rows.Skips()
    questions = []
    for path in _one_kind(find_files(NAME, data)[0]):
        for number, row in enumerate(_rows(path, skips)):
            question_id = f"{NAME}/{path.stem}/{number}"
            with skips.reading(question_id):
                questions.append(_question(row, question_id, skips))
    return Corpus(NAME, keep(questions, seed, limit), skipped=skips.rows)


def _one_kind(paths: list[Path]) -> list[Path]:
    """The dev tasks together, or one test or parquet file: splits are never mixed silently."""
    tasks = [path for path in paths if path.stem[0].isdigit()]
    if len(tasks) == len(paths):
        return [path for path in paths if path.stem[0] not in IN_WORDS] or paths
    return [only(NAME, [path for path in paths if path.stem[0] not in IN_WORDS])]


def _rows(path: Path, skips: rows.Skips) -> list[Any]:
    if path.suffix == ".parquet":
        found = read_parquet(path, COLUMNS, NAME)
        return [row | {"video": row["video_name"], "question_type": row["task_type"]} for row in found]
    document = read_json(path, lambda key: skips.add(f"{NAME}/{path.name}", "duplicate key", key))
    if not isinstance(document, list):
        raise InputError(path, "file", rows.shown(document), "mlvu wants a list of questions")
    return document


def _question(row: Any, question_id: str, skips: rows.Skips) -> Question:
    row = rows.mapping(row)
    if "question_id" in row:
        question_id = f"{NAME}/{rows.identifier(row, 'question_id')}"
    video_id = rows.text(row, "video").removesuffix(".mp4")
    if not video_id:
        raise rows.BadRow("empty text", "video")
    text = rows.text(row, "question")
    answer = rows.text(row, "answer")
    in_words = question_id.split("/")[1][0] in IN_WORDS and row.get("candidates") is None
    options = () if in_words else rows.options(rows.items(row, "candidates"))
    letter, references = ("", (answer,)) if in_words else (_letter(answer, options), ())
    duration = UNSTATED if "video_name" in row and "duration" not in row else rows.duration(row, "duration")
    kind = rows.optional_text(row, "question_type")
    # Dev has no ids; the same question about the same video is the same row.
    skips.once(f"{video_id} | {text} | {' | '.join(options)}")
    return Question(question_id, video_id, text, options, letter, (), duration, NAME, kind, references)


def _letter(answer: str, options: tuple[str, ...]) -> str:
    """The letter of the candidate that is the answer's text, or the letter that the answer is."""
    bare = answer.strip("().")
    if answer not in options and len(bare) == 1 and bare in LETTERS[: len(options)]:
        return rows.checked_letter(bare, options, "answer")
    return rows.letter_of(answer, options)
