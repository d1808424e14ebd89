"""A corpus of your own: timed steps (steps.csv), and questions as they were downloaded (questions.json).

clipscout traces --corpus examples/your_corpus.py --data FOLDER --out runs/mine
"""

import csv
from itertools import groupby
from pathlib import Path

from data_gen.corpora import Corpus, rows
from data_gen.corpora.actions import Action, AnnotatedVideo
from data_gen.corpora.derive import annotated_corpus
from data_gen.corpora.source_files import read_json
from navigation import Question


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    skips, videos, questions = rows.Skips(), {}, []
    with open(data / "steps.csv", newline="", encoding="utf-8") as file:
        for name, group in groupby(csv.DictReader(file), key=lambda row: row["video"]):
            steps = []
            for number, row in enumerate(group):
                with skips.reading(f"{name}/step {number}"):  # a broken row is listed in skipped.jsonl, not fatal
                    start, end = rows.seconds(row["start"], "start"), rows.seconds(row["end"], "end")
                    steps.append(Action(number, start, end, rows.text(row, "text")))
            length = max((step.end for step in steps), default=1.0)
            videos[name] = AnnotatedVideo(name, length, "", (0.0, length), steps)
    for number, row in enumerate(read_json(data / "questions.json")):
        with skips.reading(f"question {number}"):
            text, options = rows.text(row, "question"), rows.options(rows.items(row, "choices"))
            letter, video = rows.letter_of(rows.text(row, "answer"), options), videos[rows.text(row, "video")]
            clue = rows.span(rows.seconds(row["from"], "from"), rows.seconds(row["to"], "to"), video.duration, "clue")
            of_video = (video.video_id, text, options, letter, (clue,), video.duration)
            questions.append(Question(f"mine/{number}", *of_video, source="mine"))
    # Trees of the steps, and questions derived from them besides: what follows what, and when.
    return annotated_corpus("mine", list(videos.values()), skips, seed, limit, questions)
