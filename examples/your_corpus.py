"""A corpus of your own from a CSV of timed notes: video, start, end, text (seconds).

python examples/your_corpus.py notes.csv OUT
"""

import csv
import random
import sys
from itertools import groupby, pairwise
from pathlib import Path

from navigation import LETTERS, CaptionTree, Line, Question, TimeGrid, TreeStore, write_jsonl


def tree_of(video: str, lines: list[Line]) -> CaptionTree:
    """Each segment's caption is what was noted in it; upper levels keep the longest notes only."""
    grid = TimeGrid.for_duration(max(line.end for line in lines))
    tree = CaptionTree(video, grid, {}, {"captioner": "notes"}, tuple(lines))
    captions = {}
    for path in grid.paths():
        inside = tree.lines_in(path)
        kept = inside if grid.is_leaf(path) else sorted(inside, key=lambda line: line.start - line.end)[:2]
        captions[path] = " ".join(line.text for line in inside if line in kept) or "Nothing is noted."
    return CaptionTree(video, grid, captions, tree.made_by, tree.lines)


def questions_of(video: str, lines: list[Line], rng: random.Random) -> list[Question]:
    """What comes right after each note, among other notes of the same video."""
    questions = []
    for number, (before, after) in enumerate(pairwise(lines)):
        others = [line.text for line in lines if line not in (before, after)]
        options = [after.text, *rng.sample(others, min(3, len(others)))]
        rng.shuffle(options)
        clue = (max(before.start, before.end - 10), min(after.end, after.start + 10))
        questions.append(
            Question(
                f"notes/{video}/{number}", video, f"What comes right after “{before.text}”?", tuple(options),
                LETTERS[options.index(after.text)], (clue,), max(line.end for line in lines), "notes", "after",
            )
        )  # fmt: skip
    return questions


def main(notes: str, out: str) -> None:
    with open(notes, newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["video"], float(row["start"])))
    store, questions = TreeStore(Path(out) / "trees"), []
    for video, group in groupby(rows, key=lambda row: row["video"]):
        lines = [Line(float(row["start"]), float(row["end"]), row["text"]) for row in group]
        store.save(tree_of(video, lines))
        questions += questions_of(video, lines, random.Random(video))
    write_jsonl(Path(out) / "questions.jsonl", (question.to_dict() for question in questions))


if __name__ == "__main__":
    main(*sys.argv[1:])
