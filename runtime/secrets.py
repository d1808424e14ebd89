"""Looks for credentials in what is about to leave the machine."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from navigation import InputError

_PATTERNS = {
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{16,}",
    "an API key": r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{20,}",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"\bhttps?://[^\s/@:]+:[^\s/@]+@",
}
_PATTERN = re.compile("|".join(f"({pattern})" for pattern in _PATTERNS.values()))
_NAMES = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL")
_SHORTEST = 12
_TEXT = {".json", ".jsonl", ".yaml", ".yml", ".md", ".txt", ".jinja", ".csv"}


def secret_in(text: str, environment: Iterable[tuple[str, str]] | None = None) -> str | None:
    """What kind of secret a text holds, in words that do not repeat it; None if it holds none.

    Besides the usual shapes it knows the values of this process's own variables whose names speak of a secret.
    """
    found = _PATTERN.search(text)
    if found is not None and found.lastindex is not None:
        return list(_PATTERNS)[found.lastindex - 1]
    for name, value in os.environ.items() if environment is None else environment:
        if len(value) >= _SHORTEST and any(word in name.upper().split("_") for word in _NAMES) and value in text:
            return f"the value of {name}"
    return None


def without_secrets(text: str) -> str:
    """A text with `…` for what looks like a secret or is the value of a variable whose name speaks of one."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and any(word in name.upper().split("_") for word in _NAMES):
            text = text.replace(value, "…")
    return _PATTERN.sub("…", text)


def refuse_secrets(path: Path) -> None:
    """Raises if a text or Parquet file holds a secret.

    Raises:
        InputError: the file and the kind of secret.
    """
    for text in _texts(path):
        kind = secret_in(text)
        if kind is not None:
            raise InputError(path, "content", kind, "take it out of the file; nothing was uploaded")


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches(256):
            yield str(batch.to_pylist())
    elif path.suffix in _TEXT:
        yield path.read_text(encoding="utf-8", errors="replace")
