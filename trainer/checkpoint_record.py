"""`clipscout.json` beside a model: which chat template it was trained under, from what, and how far."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from navigation import InputError, write_json
from navigation.prompt import template_hash

NAME = "clipscout.json"


def write_record(folder: str | Path, tokenizer: Any, facts: Mapping[str, Any]) -> None:
    """Writes the record of a checkpoint: `facts`, and the hash of the tokenizer's chat template."""
    write_json(Path(folder) / NAME, {"chat_template": template_hash(tokenizer.chat_template), **facts})


def read_record(name: str | Path, revision: str | None = None) -> dict[str, Any]:
    """The record of a folder or Hub model; empty where there is none, as for models that others published.

    Args:
        name: Folder or Hub name.
        revision: Branch, tag or commit on the Hub; None: its main branch.

    Raises:
        InputError: the record is no JSON object.
    """
    path = cached_file(
        str(name), NAME, revision=revision, _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False, _raise_exceptions_for_gated_repo=False,
    )  # fmt: skip
    if path is None:
        return {}
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InputError(name, NAME, record, "it should hold a JSON object: take the checkpoint from its source again")
    return record


def check_template(name: str | Path, found: str | None, ours: str, revision: str | None = None) -> None:
    """Refuses a checkpoint whose chat template is not the one it was trained under.

    Args:
        name: Folder or Hub name of the checkpoint.
        found: The chat template that its tokenizer carries.
        ours: The chat template that it would be used under.
        revision: Of the Hub's, where it is one.

    Raises:
        InputError: the checkpoint was trained under another template, or its template file was changed since.
    """
    trained = read_record(name, revision).get("chat_template")
    if trained is None:
        return
    if trained != template_hash(ours):
        mend = (
            f"this ClipScout renders {template_hash(ours)}, and a model reads only the template it was trained under: "
            "use the ClipScout that trained it, or train it again"
        )
        raise InputError(name, "chat template", trained, mend)
    if found is not None and template_hash(found) != trained:
        mend = f"it was trained under {trained}: take its chat_template.jinja from the checkpoint's source again"
        raise InputError(name, "chat template", template_hash(found), mend)
