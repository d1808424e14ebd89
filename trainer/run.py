"""What every training run shares: the resolved config, dry runs, resuming, the final model, exit codes."""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import datasets
from accelerate import Accelerator, PartialState
from transformers import Trainer
from transformers.utils import logging

from navigation import InputError
from runtime.config_file import write_resolved
from runtime.lock import RunLock
from trainer.arguments import resolved
from trainer.checkpoint import unfinished, write_record
from trainer.durable_checkpoints import DurableCheckpoints, discard_incomplete, newest_checkpoint, refuse_another_run
from trainer.stopping import PREEMPTED, Preempted, StopOnSignal, TrainingFailed

LOCK = ".lock"


def describe_run(title: str, facts: dict[str, Any], *options: Any, folder: str) -> dict[str, Any]:
    """Prints what is about to happen; returns the resolved config, which `train` writes once the folder is its own.

    A dry run's is written here, beside that of the run if the folder holds one.
    """
    values = resolved(*options)
    if PartialState().is_main_process:
        print(f"{title}: " + ", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
        if values.get("dry_run"):
            with _room(Path(folder)):
                name = "resolved_config.dry.yaml" if (Path(folder) / LOCK).exists() else "resolved_config.yaml"
                print(f"resolved config: {write_resolved(folder, values, name)}", flush=True)
    return values


def train(
    trainer: Trainer,
    resume: str | None,
    facts: Mapping[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> None:
    """Trains, from the newest complete checkpoint of the output folder if there is one, and saves the final model.

    Args:
        resume: `resume_from_checkpoint` as configured: a folder, or None for the newest in `output_dir`.
        facts: What `clipscout.json` beside the model says of the run.
        config: What `describe_run` returned.

    Raises:
        InputError: the folder to resume from is not there or holds another run's checkpoint, or another run trains into
            this folder.
        TrainingFailed: the run cannot go on; the message says why.
        Preempted: SIGTERM came; a checkpoint was saved.
    """
    folder = Path(cast(str, trainer.args.output_dir))
    if resume and not Path(resume).is_dir():
        raise InputError(
            "config", "resume_from_checkpoint", resume, "give a checkpoint folder that exists, or leave it out"
        )
    with _room(folder), _one_run_only(folder):
        facts = {**(facts or {}), **distribution(trainer.accelerator)}
        if isinstance(trainer, DurableCheckpoints):
            trainer.record = facts
        if trainer.accelerator.is_main_process:
            if config is not None:
                print(f"resolved config: {write_resolved(folder, config)}", flush=True)
            count = facts["processes"]
            print("one process" if count == 1 else f"{count} processes, {facts['distributed']}", flush=True)
        _train(trainer, resume, folder, facts)


def distribution(accelerator: Accelerator) -> dict[str, Any]:
    """How many processes train together, and by what: launchers fall back to one process without a word."""
    name = accelerator.distributed_type.value
    plugin = accelerator.state.deepspeed_plugin
    if plugin is not None:
        name += f" ZeRO-{plugin.zero_stage}"
    return {"processes": accelerator.num_processes, "distributed": name}


@contextmanager
def _one_run_only(folder: Path) -> Iterator[None]:
    """Holds the run's folder: a second run would delete the checkpoint that the first is writing."""
    if not PartialState().is_main_process:
        yield
        return
    with RunLock(folder / LOCK, "training run"):
        yield


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """Says of a full disk what to do, wherever it shows: metrics, rollouts, the lock."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainingFailed(unfinished(Path(error.filename or folder), folder, error)) from error


def _train(trainer: Trainer, resume: str | None, folder: Path, facts: Mapping[str, Any]) -> None:
    if PartialState().is_main_process:
        for name in discard_incomplete(folder):
            print(f"{name} was not written to its end and is deleted", flush=True)
    trainer.accelerator.wait_for_everyone()
    newest = Path(resume) if resume else newest_checkpoint(folder)
    if newest is not None:
        refuse_another_run(newest, facts)
        if PartialState().is_main_process:
            print(f"resuming from {newest}", flush=True)
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    stop = next((each for each in trainer.callback_handler.callbacks if isinstance(each, StopOnSignal)), None)
    step = trainer.state.global_step
    if stop is not None and stop.agreed:
        raise Preempted(step, str(folder / f"checkpoint-{step}"))
    _save_final(trainer, folder, facts)


def _save_final(trainer: Trainer, folder: Path, facts: Mapping[str, Any]) -> None:
    """Saves aside and moves the files in place, the record last: an older model is there whole until then."""
    aside = folder / ".final"
    if trainer.args.should_save:
        shutil.rmtree(aside, ignore_errors=True)  # what an earlier end was cut off in
    trainer.accelerator.wait_for_everyone()
    try:
        if isinstance(trainer, DurableCheckpoints):
            facts = {**facts, **trainer.save_final(str(aside))}
        else:
            trainer.save_model(str(aside))
            facts = {**facts, "step": trainer.state.global_step}
        trainer.accelerator.wait_for_everyone()
        if trainer.args.should_save:
            if not any(aside.glob("*.safetensors")):
                raise FileNotFoundError("the trainer wrote no *.safetensors")
            for path in sorted(aside.iterdir()):
                os.replace(path, folder / path.name)
            shutil.rmtree(aside)
            write_record(folder, trainer.processing_class, facts)
            if isinstance(trainer, DurableCheckpoints):
                trainer.after_final(facts)
    except Exception as error:  # safetensors and torch have classes of their own for a full disk
        if trainer.args.should_save:
            shutil.rmtree(aside, ignore_errors=True)
        raise TrainingFailed(unfinished(folder, folder, error)) from error
    trainer.accelerator.wait_for_everyone()


def ended(main: Callable[[], None]) -> None:
    """Runs a stage's `main` as a program: bad input, a failed run and a stopped one end with one line and a code.

    Exit codes: 0 done, 1 wrong input or a run that cannot go on, 75 stopped by SIGTERM after saving.
    """
    try:
        main()
    except (InputError, TrainingFailed) as error:
        sys.exit(f"error: {error}")
    except Preempted as stop:
        print(stop, file=sys.stderr, flush=True)
        sys.exit(PREEMPTED)


def quiet_unless_watched() -> None:
    """Turns the libraries' progress bars off where nobody watches a terminal: a log keeps one line a message."""
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        logging.disable_progress_bar()
