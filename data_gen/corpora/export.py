"""A corpus on disk: the folder that the teacher, the trainers and the evaluation read."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.corpora.corpus import Corpus
from navigation import TreeStore, write_jsonl


def write_corpus(corpus: Corpus, out: str | Path) -> dict[str, Any]:
    """Writes `questions.jsonl`, `trees/<video>.json` and `skipped.jsonl` under `out`, each whole or not at all.

    Returns:
        What was written: see `corpus_stats`, plus `segments`, the number of captions over all trees.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    store = TreeStore(out / "trees")
    trees, segments = 0, 0
    for tree in corpus.trees:
        store.save(tree)
        trees += 1
        segments += len(tree.captions)
    write_jsonl(out / "skipped.jsonl", (row.to_dict() for row in corpus.skipped))
    # Last: a folder with questions has the trees that they are about.
    write_jsonl(out / "questions.jsonl", (question.to_dict() for question in corpus.questions))
    return corpus_stats(corpus) | {"trees": trees, "segments": segments}


def corpus_stats(corpus: Corpus) -> dict[str, Any]:
    """Counts of a corpus, from its questions and skipped rows alone.

    `duration_seconds` describes videos (each once), `clue_seconds` the summed clue length of questions that have one.
    """
    durations = {question.video_id: question.duration for question in corpus.questions}
    clues = [
        sum(end - begin for begin, end in question.clue_intervals)
        for question in corpus.questions
        if question.clue_intervals
    ]
    return {
        "corpus": corpus.name,
        "videos": len(durations),
        "questions": len(corpus.questions),
        "questions_by_kind": _counts(question.kind for question in corpus.questions),
        "questions_by_answer": _counts(question.answer for question in corpus.questions),
        "questions_by_options": _counts(str(len(question.options)) for question in corpus.questions),
        "questions_without_clues": len(corpus.questions) - len(clues),
        "duration_seconds": _spread(list(durations.values())),
        "clue_seconds": _spread(clues),
        "skipped": len(corpus.skipped),
        "skipped_by_reason": corpus.skipped_by_reason,
        "not_derived_by_reason": dict(sorted(corpus.not_derived.items())),
    }


def _counts(values) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
    return {
        "min": round(float(low), 3), "median": round(float(middle), 3), "mean": round(float(np.mean(values)), 3),
        "max": round(float(high), 3),
    }  # fmt: skip
