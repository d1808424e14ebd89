"""A corpus's questions and trees, written once beside results and used again for the same corpus alone."""

import json
from pathlib import Path
from typing import Any

from data_gen.corpora import load_corpus, write_corpus
from navigation import InputError, write_json

RECORD = "corpus.json"


def corpus_folder(
    name: str, data: str | Path | None, folder: str | Path, seed: int = 0, limit: int | None = None
) -> Path:
    """Writes the corpus into `folder` if it is not there yet, with what it was made from in `corpus.json`.

    Args:
        name: Corpus.
        data: Its folder as downloaded; None for a generated one.
        folder: Holds nothing else.
        seed: See `load_corpus`.
        limit: See `load_corpus`.

    Returns:
        The folder, with `questions.jsonl`, and `trees/` if the corpus has captions.

    Raises:
        InputError: the folder holds another corpus, or one of which it is not known what it was made from.
    """
    folder = Path(folder)
    asked = {
        "corpus": name, "data": None if data is None else str(Path(data).resolve()), "seed": seed, "limit": limit,
    }  # fmt: skip
    # The questions are written last: without them what is there is a part of a corpus, and is written again.
    if (folder / "questions.jsonl").is_file():
        _check(folder, asked)
        return folder
    corpus = load_corpus(name, data, seed, limit)
    write_json(folder / RECORD, asked)
    write_corpus(corpus, folder)
    return folder


def _check(folder: Path, asked: dict[str, Any]) -> None:
    path = folder / RECORD
    other = f"give another folder of results, or remove {folder}: it is then made anew"
    if not path.is_file():
        raise InputError(path, "file", "not there", f"what these questions were made from is not known: {other}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise InputError(path, "file", str(error), other) from None
    for field, value in asked.items():
        if found.get(field) != value:
            raise InputError(path, field, found.get(field), f"{value!r} is asked for: {other}")
