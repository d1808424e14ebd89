"""`clipscout sft` and `clipscout grpo`: the stage's trainer under `accelerate launch`."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from clipscout.options import told_errors
from navigation import InputError
from trainer.preflight import check_ranks

CPU = Path("launch/accelerate/cpu.yaml")
GPUS = Path("/dev/nvidiactl")
"""There where a driver has found a GPU."""
TRL_NAMES = {"data": "--data", "model": "--model_name_or_path", "out": "--output_dir", "seed": "--seed"}
"""Options that every command has, and what trl calls them."""


def training_command(
    stage: str, config: Path, launch: Path = CPU, launch_args: str = "", more: Sequence[str] = (), **options: Any
) -> list[str]:
    """The `accelerate launch` of a stage.

    Args:
        stage: `sft` or `grpo`.
        config: Its YAML.
        launch: accelerate's YAML.
        launch_args: Flags of `accelerate launch` besides, as one text.
        more: Flags of the stage and of trl, which override the config.
        **options: Of `TRL_NAMES`; None is left to the config.

    Raises:
        InputError: a file that is not there, or ranks of another launch in the environment.
    """
    for flag, path in (("--config", config), ("--launch", launch)):
        if not path.is_file():
            raise InputError("command line", flag, str(path), f"give a YAML file that exists; see {flag[2:]}*/")
    try:
        alone = (yaml.safe_load(launch.read_text(encoding="utf-8")) or {}).get("distributed_type") == "NO"
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError):
        raise InputError("command line", "--launch", str(launch), "give a launch file of accelerate") from None
    if alone and not launch_args:
        check_ranks(alone=True)
    flags = [text for name, value in options.items() if value is not None for text in (TRL_NAMES[name], str(value))]
    return [
        # Quiet: what a stage says of bad input is not followed by the launcher's traceback.
        *(sys.executable, "-m", "accelerate.commands.launch", "--quiet"),
        *("--config_file", str(launch), *shlex.split(launch_args)),
        *("-m", f"trainer.{stage}", "--config", str(config), *flags, *more),
    ]


def _command(stage: str, title: str) -> Callable[..., None]:
    def command(
        ctx: typer.Context,
        config: Annotated[Path, typer.Option(help=f"YAML of the run; see configs/{stage}/.")],
        launch: Annotated[Path, typer.Option(help="accelerate's YAML; see launch/accelerate/.")] = CPU,
        launch_args: Annotated[str, typer.Option(help="More flags of `accelerate launch`, in one text.")] = "",
        data: Annotated[Path | None, typer.Option(help="Folder of trajectories, or of sets made of them.")] = None,
        model: Annotated[str | None, typer.Option(help="Model to start from: folder or Hub name.")] = None,
        out: Annotated[Path | None, typer.Option(help="Folder of the run and its checkpoints.")] = None,
        seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Check config and data; do not train.")] = False,
    ) -> None:
        more = [*(["--dry_run"] if dry_run else []), *ctx.args]
        with told_errors():
            run = training_command(stage, config, launch, launch_args, more, data=data, model=model, out=out, seed=seed)
        if dry_run and not GPUS.exists():
            # Without a launch it runs anywhere, and what is wrong is its last line.
            os.environ |= {"ACCELERATE_USE_CPU": "true", "CLIPSCOUT_PLANNED_LAUNCH": str(launch)}
            run = [run[0], *run[run.index(f"trainer.{stage}") - 1 :]]
        # Signals of Slurm and of a terminal go to the launcher itself.
        os.execv(run[0], run)

    command.__doc__ = f"{title}. Options not listed here go to the trainer: those of configs/{stage}/ and of trl."
    return command


sft = _command("sft", "Supervised fine-tuning on trajectories")
grpo = _command("grpo", "GRPO over the navigation environment")
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Context settings of both."""
