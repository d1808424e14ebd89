"""What every training run shares: the resolved config, dry runs, resuming, last words."""

from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import Trainer

from navigation import InputError
from trainer.checkpoint import latest_checkpoint
from trainer.config import resolved, write_resolved


def describe_run(title: str, facts: dict[str, Any], *options: Any, folder: str) -> None:
    """Writes the resolved config into the run's folder and prints what is about to happen."""
    if not PartialState().is_main_process:
        return
    path = write_resolved(folder, resolved(*options))
    print(f"{title}: " + ", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    print(f"resolved config: {path}", flush=True)


def train(trainer: Trainer, resume: str | None) -> None:
    """Trains, from the newest complete checkpoint of the output folder if there is one, and saves the final model.

    Args:
        resume: `resume_from_checkpoint` as configured: a folder, or None for the newest in `output_dir`.

    Raises:
        InputError: the folder to resume from is not there.
    """
    folder = trainer.args.output_dir
    if resume and not Path(resume).is_dir():
        raise InputError(
            "config", "resume_from_checkpoint", resume, "give a checkpoint folder that exists, or leave it out"
        )
    newest = resume or latest_checkpoint(folder)
    if newest and PartialState().is_main_process:
        print(f"resuming from {newest}", flush=True)
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    trainer.save_model(folder)
    trainer.accelerator.wait_for_everyone()
