"""Finding a corpus's files by the names they are downloaded under, and saying plainly when they are not there."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from navigation import InputError

WANTED: dict[str, tuple[tuple[str, ...], ...]] = {
    "goalstep": (("goalstep_valid.json", "goalstep_train.json"),),
    "nextgqa": (
        ("val.csv", "test.csv"),
        ("gsub_val.json", "gsub_test.json"),
        ("captions_1fps.zip", "nextqa_allcaps_1fps.zip"),
    ),
    "hirest": (("all_data_val.json", "all_data_train.json"),),
    "cgbench": (("cgbench*.json",),),
    "mlvu": (("[1-9]_*.json", "json/[1-9]_*.json", "test_*.json", "*mlvu*.parquet", "data/*mlvu*.parquet"),),
    "lvbench": (("video_info.meta.jsonl", "data/video_info.meta.jsonl"),),
    "videomme": (("test-0*.parquet", "videomme/test-0*.parquet"),),
}
"""For each corpus the files it needs; each is given by the names that it may have (shell patterns)."""


def find_files(corpus: str, data: Path) -> list[list[Path]]:
    """For each needed file of `WANTED[corpus]`, the matches in the folder `data`, at least one, sorted by name.

    `data` may also be one file: it is then the only match of the first need, the others lie beside it.

    Raises:
        InputError: the folder is missing, empty, or does not hold the files; one line says which corpus wants what.
    """
    if data.is_file():
        # Named by hand, so it may have any name; a file that is no such corpus fails when it is read.
        return [[data], *(_matches(corpus, data.parent, names) for names in WANTED[corpus][1:])]
    return [_matches(corpus, data, names) for names in WANTED[corpus]]


def only(corpus: str, found: list[Path]) -> Path:
    """The one match, or an InputError: splits are never mixed silently."""
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(found[0].parent, "folder", names, f"corpus {corpus} reads one split: give one of these files")
    return found[0]


def read_json(path: Path, on_duplicate: Callable[[str], None] | None = None) -> Any:
    """A whole JSON file. A key given twice in an object keeps its first value and is reported to `on_duplicate`.

    Raises:
        InputError: the file cannot be read or is no JSON.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"), on_duplicate)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, "file", str(error), "give complete JSON in UTF-8: download it again") from None


def read_json_lines(path: Path, on_duplicate: Callable[[str], None] | None = None) -> Iterator[tuple[int, Any]]:
    """Line numbers and values of a JSONL file; blank lines are passed over.

    Raises:
        InputError: the file cannot be read, or a line is no JSON.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(path, "file", str(error), "give JSON lines in UTF-8: download it again") from None
    found = False
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                value = parse_json(line, on_duplicate)
            except (ValueError, RecursionError) as error:
                hint = "give one JSON object a line: download it again"
                raise InputError(f"{path}:{number}", "line", str(error), hint) from None
            found = True
            yield number, value
    if not found:
        raise InputError(path, "file", "no line", "give one JSON object a line: download it again")


def read_parquet(path: Path, columns: Sequence[str], corpus: str) -> list[dict[str, Any]]:
    """Rows of a parquet file.

    Raises:
        InputError: the file is no parquet, or lacks a column.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        missing = [column for column in columns if column not in file.schema_arrow.names]
        if missing:
            raise InputError(path, "columns", missing, f"{corpus} wants the columns {', '.join(columns)}")
        return file.read().to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        hint = "give a whole parquet file: download it again"
        raise InputError(path, "file", str(error).splitlines()[0], hint) from None


def parse_json(text: str, on_duplicate: Callable[[str], None] | None = None) -> Any:
    """JSON from text, duplicate keys as in `read_json`. Raises ValueError or RecursionError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found and on_duplicate is not None:
                on_duplicate(key)
            found.setdefault(key, value)
        return found

    return json.loads(text, object_pairs_hook=unique)


def _matches(corpus: str, folder: Path, names: tuple[str, ...]) -> list[Path]:
    found = sorted({path for name in names for path in folder.glob(name) if path.is_file()}) if folder.is_dir() else []
    if not found:
        if not folder.exists():
            state = "missing"
        elif not folder.is_dir():
            state = "not a folder"
        elif not any(folder.iterdir()):
            state = "empty"
        else:
            state = f"without {' or '.join(names)}"
        raise InputError(folder, "folder", state, _hint(corpus, folder))
    return found


def _hint(corpus: str, folder: Path) -> str:
    likely = [name for name in WANTED if name != corpus and looks_like(name, folder)]
    hint = f"; this folder looks like {' or '.join(likely)}" if likely else ""
    below = sorted(each.name for each in folder.iterdir() if looks_like(corpus, each)) if folder.is_dir() else []
    hint += f"; they are in {' and '.join(below)} below it" if below else ""
    wants = "; ".join(f"{name} wants {_wants(name)}" for name in WANTED if name != corpus)
    return f"corpus {corpus} wants {_wants(corpus)} there{hint} ({wants}; small_world wants no files)"


def looks_like(corpus: str, folder: Path) -> bool:
    """Whether the folder holds every file that the corpus needs."""
    return folder.is_dir() and all(any(any(folder.glob(name)) for name in names) for names in WANTED[corpus])


def _wants(corpus: str) -> str:
    return " and ".join("|".join(names) for names in WANTED[corpus])
