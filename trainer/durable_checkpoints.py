"""Checkpoints that are either whole or known not to be, whatever ends the run while they are written."""

import os
import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import rotate_checkpoints

from trainer.checkpoint import INCOMPLETE, latest_checkpoint
from trainer.checkpoint_record import write_record
from trainer.ends import TrainingFailed


class DurableCheckpoints(Trainer):
    """Mixed into a trainer, before trl's class.

    A mark stands in a checkpoint's folder until all of it, of every process, is on the disk; `latest_checkpoint` passes
    a marked folder over. Older checkpoints are deleted after that, never before. Overrides one method of transformers
    5.17; tests hold it to what it does.
    """

    record: dict[str, Any] | None = None
    """Facts for the `clipscout.json` of each checkpoint."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        mark = folder / INCOMPLETE
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            if self.args.should_save:
                folder.mkdir(parents=True, exist_ok=True)
                mark.write_text("This checkpoint was not written to its end.\n", encoding="utf-8")
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                write_record(folder, self.processing_class, {**(self.record or {}), "step": self.state.global_step})
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                _flush(folder)
                mark.unlink()
        except (
            Exception
        ) as error:  # no space, no rights, a dead file system: whatever it is, the folder is no checkpoint
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)
            raise TrainingFailed(_not_saved(folder, error)) from error
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save:
            rotate_checkpoints(
                output_dir=str(folder.parent), save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint, use_mtime=True,
            )  # fmt: skip


def discard_incomplete(folder: str | Path) -> list[str]:
    """Deletes checkpoints that were not written to their end; returns their names."""
    gone = [path.parent for path in Path(folder).glob(f"checkpoint-*/{INCOMPLETE}")]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in gone)


def _flush(folder: Path) -> None:
    for path in [*(path for path in folder.rglob("*") if path.is_file()), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _not_saved(folder: Path, error: Exception) -> str:
    good = latest_checkpoint(folder.parent)
    free = shutil.disk_usage(folder.parent).free / 1e9
    there = f"the last good checkpoint is {good}" if good else "there is no earlier checkpoint"
    return (
        f"{folder} could not be saved ({type(error).__name__}: {error}); {free:.1f} GB are free there. {there}. "
        "Make room or give another output_dir, then run the same command again."
    )
