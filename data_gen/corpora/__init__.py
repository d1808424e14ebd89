"""Corpora: one file a corpus, each with `load(data, seed, limit) -> Corpus` from the files as downloaded."""

from importlib import import_module
from pathlib import Path

from data_gen.corpora.corpus import Corpus, write_corpus
from navigation import InputError

CORPORA = ("goalstep", "nextgqa", "hirest", "cgbench", "mlvu", "lvbench", "videomme", "small_world")
"""Registered names; each is a module of this package, imported when it is asked for."""


def load_corpus(name: str, data: str | Path | None, seed: int = 0, limit: int | None = None) -> Corpus:
    """Loads a corpus by name.

    Args:
        name: One of `CORPORA`.
        data: Folder with the corpus's files as downloaded. `None` only for a corpus that is generated.
        seed: Decides option order, distractors, and which questions a `limit` keeps.
        limit: Keep at most this many questions, chosen at random by `seed`, and only their videos' trees.

    Raises:
        InputError: an unknown name, a limit below 1, or a folder that is missing, empty or of another corpus.
    """
    if name not in CORPORA:
        raise InputError("corpus", "name", name, f"use one of {', '.join(CORPORA)}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError("corpus", "limit", limit, "give a whole number above 0, or none to keep every question")
    if data is None and name != "small_world":
        raise InputError(f"corpus {name}", "data", data, "give the folder that holds its files as downloaded")
    module = import_module(f"data_gen.corpora.{name}")
    return module.load(None if data is None else Path(data), seed, limit)


__all__ = ["CORPORA", "Corpus", "load_corpus", "write_corpus"]
