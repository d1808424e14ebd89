"""`clipscout merge`: one model out of an adapter and its base."""

from pathlib import Path
from typing import Annotated

import typer

from navigation import InputError


def merge(
    folder: Annotated[Path, typer.Argument(help="Folder of an adapter, as SFT or GRPO with use_peft leaves it.")],
    out: Annotated[Path, typer.Argument(help="Folder for the whole model.")],
) -> None:
    """Add an adapter's weights to its base's: what GRPO, a server or another framework starts from."""
    from trainer.merge_adapter import merge_adapter

    if out.exists() and any(out.iterdir()):
        raise InputError(out, "out", "not empty", "give a folder that is new or empty")
    typer.echo(str(merge_adapter(folder, out)))
