"""MLVU: human questions with candidates, no clue intervals; the trees come from captioning the videos.

Files: the closed tasks `1_plotQA.json` … `7_topic_reasoning.json` of JUNJIE99/MLVU, in the folder or in `json/` below,
each a list of `{video, duration, question, candidates, answer, question_type}`; `answer` is the text of a candidate.
"""

from pathlib import Path
from typing import Any

from data_gen.corpora import rows
from data_gen.corpora.choice import keep
from data_gen.corpora.corpus import Corpus
from data_gen.corpora.source_files import find_files, read_json
from navigation import InputError, Question

NAME = "mlvu"


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """The questions as downloaded, options in the source's order; ids are `mlvu/<file>/<row>`, rows counted from 0.

    Raises:
        InputError: no such files, or a file that is not MLVU's.
    """
    skips = rows.Skips()
    questions = []
    for path in find_files(NAME, data)[0]:
        document = read_json(path, lambda key, path=path: skips.add(f"{NAME}/{path.name}", "duplicate key", key))
        if not isinstance(document, list):
            raise InputError(path, "file", rows.shown(document), "mlvu wants a list of questions")
        for number, row in enumerate(document):
            question_id = f"{NAME}/{path.stem}/{number}"
            with skips.reading(question_id):
                questions.append(_question(row, question_id, skips))
    return Corpus(NAME, keep(questions, seed, limit), skipped=skips.rows)


def _question(row: Any, question_id: str, skips: rows.Skips) -> Question:
    row = rows.mapping(row)
    video_id = rows.text(row, "video").removesuffix(".mp4")
    if not video_id:
        raise rows.BadRow("empty text", "video")
    text = rows.text(row, "question")
    options = rows.options(rows.items(row, "candidates"))
    letter = rows.letter_of(rows.text(row, "answer"), options)
    duration = rows.duration(row, "duration")
    kind = rows.optional_text(row, "question_type")
    # The source has no ids; the same question about the same video is the same row.
    skips.once(f"{video_id} | {text} | {' | '.join(options)}")
    return Question(question_id, video_id, text, options, letter, (), duration, NAME, kind)
