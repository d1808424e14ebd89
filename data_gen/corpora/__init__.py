"""Corpora: one file a corpus, each with `load(data, seed, limit) -> Corpus` from the files as downloaded."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from data_gen.corpora.corpus import Corpus, LazyTrees, keep, opened, write_corpus
from data_gen.corpora.source_files import WANTED
from navigation import InputError, TreeStore, read_questions

CORPORA = (*WANTED, "small_world")
"""Registered names; each is a module of this package, imported when it is asked for."""


def load_corpus(
    name: str, data: str | Path | None, seed: int = 0, limit: int | None = None, open_form: bool = False
) -> Corpus:
    """Loads a corpus by name, or by a loader of your own.

    Args:
        name: One of `CORPORA`, or a Python file with a function `load(data, seed, limit) -> Corpus`, which is run.
        data: Folder with the corpus's files as downloaded. `None` only for a corpus that is generated.
        seed: Decides option order, distractors, and which questions a `limit` keeps.
        limit: Keep at most this many questions, chosen at random by `seed`, and only their videos' trees.
        open_form: Withhold the options and take the right one's text as reference, see `opened`.

    Raises:
        InputError: an unknown name, a limit below 1, or a folder that is missing, empty or of another corpus.
    """
    own = name.endswith(".py")
    if name not in CORPORA and not own:
        hint = f"use one of {', '.join(CORPORA)}, or a loader of your own as path/to/loader.py"
        raise InputError("corpus", "name", name, hint)
    check_limit(limit)
    if data is None and name != "small_world" and not own:
        raise InputError(f"corpus {name}", "data", data, "give the folder that holds its files as downloaded")
    load = _own_loader(Path(name)) if own else import_module(f"data_gen.corpora.{name}").load
    corpus = load(None if data is None else Path(data), seed, limit)
    if not isinstance(corpus, Corpus):
        hint = "its `load` must return a data_gen.corpora.Corpus"
        raise InputError(name, "load", type(corpus).__name__, hint)
    return opened(corpus) if open_form else corpus


def folder_corpus(folder: str | Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """The corpus of a folder that holds `questions.jsonl` and `trees/`; videos without a tree have none here either.

    Raises:
        InputError: one of the two is not there, or a question cannot be read.
    """
    folder = Path(folder)
    for name, kind in (("questions.jsonl", Path.is_file), ("trees", Path.is_dir)):
        if not kind(folder / name):
            hint = "give a folder with questions.jsonl and trees/<video>.json; see docs/corpora.md"
            raise InputError(folder, "folder", f"no {name}", hint)
    check_limit(limit)
    questions = keep(list(read_questions(folder / "questions.jsonl")), seed, limit)
    store = TreeStore(folder / "trees", capacity=1)
    videos = [video for video in dict.fromkeys(question.video_id for question in questions) if video in store]
    return Corpus(folder.resolve().name, questions, LazyTrees(videos, store.__getitem__))


def check_limit(limit: int | None) -> None:
    """Raises for a limit that keeps nothing."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError("corpus", "limit", limit, "give a whole number above 0, or none to keep every question")


def _own_loader(path: Path) -> Callable[..., Corpus]:
    """`load` of a file outside the package; what the file imports may lie beside it."""
    spec = importlib.util.spec_from_file_location(f"loader_{path.stem}", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError("corpus", "name", str(path), "no such file: give the loader's path, or a corpus by its name")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up.
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.resolve().parent))
    load = getattr(module, "load", None)
    if not callable(load) or list(inspect.signature(load).parameters)[:3] != ["data", "seed", "limit"]:
        raise InputError(path, "load", None, "define load(data, seed, limit) -> Corpus in it; see examples/")
    return load


__all__ = ["CORPORA", "Corpus", "folder_corpus", "load_corpus", "write_corpus"]
