"""What packing makes of the samples: how many rows, and how much of their room stays empty."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import SFTConfig, pack_dataset


def packed_facts(rows: Dataset, options: SFTConfig) -> dict[str, Any]:
    """Rows after packing and the share of their room that is empty; nothing where the run does not pack."""
    if not options.packing:
        return {}
    lengths = packed_lengths(rows, options.max_length)
    return {"packed rows": len(lengths), "packing waste": f"{waste(lengths, options.max_length):.2%}"}


def packed_lengths(rows: Dataset, room: int) -> list[int]:
    """Tokens of each row after packing as the trainer packs, best fit first."""
    return [len(ids) for ids in pack_dataset(rows.select_columns(["input_ids", "labels"]), room)["input_ids"]]


def waste(lengths: Sequence[int], room: int) -> float:
    """Share of `len(lengths) * room` tokens that hold nothing, 0 to 1."""
    return 1 - sum(lengths) / (len(lengths) * room)
