"""Which checkpoint a run goes on from, and whether it is one of this run's."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState

from navigation import InputError
from trainer.checkpoint import damage, latest_checkpoint
from trainer.checkpoint_record import NAME


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to go on from, or None; those that are spoiled are passed over with a word.

    Raises:
        InputError: there are checkpoints, and all of them are spoiled.
    """
    newest = latest_checkpoint(folder)
    spoiled = damage(folder)
    for path, why in spoiled:
        if PartialState().is_main_process:
            print(f"{path} cannot be read and its checkpoint is passed over: {why}", flush=True)
    if newest is None and spoiled:
        path, why = spoiled[-1]
        raise InputError(path, "checkpoint", why, "no other one is whole: delete them to begin again")
    return newest


def refuse_another_run(checkpoint: Path, facts: Mapping[str, Any]) -> None:
    """Raises if a checkpoint was written by a run of another kind: it would be read wrongly, or with a traceback.

    Args:
        checkpoint: Its folder; one without a record is taken as it is.
        facts: What this run's record says.

    Raises:
        InputError: stage, base, template or sharding differ.
    """
    try:
        record = json.loads((checkpoint / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    now = {**facts, "chat_template": (facts.get("data") or {}).get("template")}
    for name in ("stage", "base", "chat_template", "distributed"):
        was, new = record.get(name), now.get(name)
        if was is not None and new is not None and not _alike(name, str(was), str(new)):
            mend = f"this run has {new} and would go on from another run: give another output_dir, or train as it did"
            raise InputError(checkpoint / NAME, name, was, mend)


def _alike(name: str, was: str, new: str) -> bool:
    if name == "distributed":
        return _sharding(was) == _sharding(new)
    if name == "base":
        there = Path(was).exists() and Path(new).exists()
        # A base that was moved since, or is named from another place, keeps its last name.
        return os.path.realpath(was) == os.path.realpath(new) if there else Path(was).name == Path(new).name
    return was == new


def _sharding(distributed: str) -> str:
    """One process and several of whole weights write the same files."""
    return distributed if distributed.startswith(("DEEPSPEED", "FSDP")) else "whole weights"
