"""`clipscout push` and `clipscout merge`: a checkpoint, a data set or caption trees to the Hugging Face Hub."""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from navigation import InputError


def push(
    folder: Annotated[Path, typer.Argument(help="Checkpoint, data set of `clipscout dataset`, or folder with trees/.")],
    repo: Annotated[str, typer.Argument(help="organisation/name")],
    kind: Annotated[str, typer.Option(help="model, dataset or trees.")] = "model",
    dry_run: Annotated[bool, typer.Option(help="List what would go up, and print the card; upload nothing.")] = False,
    merge: Annotated[bool, typer.Option(help="Merge an adapter into its base first.")] = False,
    public: Annotated[bool, typer.Option(help="Make a new repository public.")] = False,
    license: Annotated[str | None, typer.Option(help="Of the model or trees, where it is not its base's.")] = None,
    evaluation: Annotated[Path | None, typer.Option(help="summary.json of `clipscout eval`, for the card.")] = None,
) -> None:
    """Upload FOLDER to REPO: weights, tokenizer, template, configs and a card; never a pickle, optimizer or secret."""
    from clipscout.cards import write_card, write_trees_card
    from clipscout.publish import check_hub, check_names, merge_adapter, plan, upload

    check_names(folder, repo, kind)
    if not dry_run:
        check_hub()  # before a merge that takes minutes
    # Beside the checkpoint, not in /tmp: a merged 8B model is 16 GB.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".push-") if merge else nullcontext(folder) as aside:
        source = merge_adapter(folder, aside) if merge else folder
        card = None
        if kind == "model":
            card = write_card(source, repo, license, evaluation)
        elif kind == "trees":
            card = write_trees_card(source, repo, license)
        made = plan(source, repo, kind, card)
        for line in made.lines():
            typer.echo(line)
        if dry_run:
            typer.echo("dry run: nothing was uploaded")
            if card is not None:
                typer.echo(f"\nREADME.md:\n{card}")
            return
        typer.echo(upload(made, private=not public))


def merge(
    folder: Annotated[Path, typer.Argument(help="Folder of an adapter, as SFT or GRPO with use_peft leaves it.")],
    out: Annotated[Path, typer.Argument(help="Folder for the whole model.")],
) -> None:
    """Add an adapter's weights to its base's: what GRPO, a server or another framework starts from."""
    from clipscout.publish import merge_adapter

    if out.exists() and any(out.iterdir()):
        raise InputError(out, "out", "not empty", "give a folder that is new or empty")
    typer.echo(str(merge_adapter(folder, out)))
