"""Checkpoints that are whole or known not to be, and which of them a run goes on from."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer
from transformers.trainer_utils import rotate_checkpoints

from navigation import DEFAULT_TOOLS, InputError
from trainer.checkpoint import INCOMPLETE, NAME, damage, latest_checkpoint, unfinished, write_record
from trainer.stopping import TrainingFailed


class DurableCheckpoints(Trainer):
    """Mixed into a trainer, before trl's class.

    A mark stands in a checkpoint's folder until all of it, of every process, is on the disk; `latest_checkpoint` passes
    a marked folder over. Older checkpoints are deleted after that, never before. Under FSDP, transformers leaves shards
    that only such a run can read; here every saved model is one that loads anywhere. A resumed run learns by its own
    config's schedule. Overrides four methods of transformers 5.17; tests hold it to what they do.
    """

    record: dict[str, Any] | None = None
    """Facts for the `clipscout.json` of each checkpoint."""

    def _run_epoch(self, *args: Any, **kwargs: Any) -> Any:
        # transformers looks at max_steps after a step: resumed from the last one, it would make another.
        if self.state.global_step < self.state.max_steps:
            return super()._run_epoch(*args, **kwargs)
        return None

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        schedule = getattr(self.lr_scheduler, "scheduler", self.lr_scheduler)  # accelerate's wrapper holds torch's
        if checkpoint is None or self.is_deepspeed_enabled or not isinstance(schedule, LambdaLR):
            return super()._load_optimizer_and_scheduler(checkpoint)
        assert self.optimizer is not None, "transformers makes it before it loads one"
        heights = list(schedule.base_lrs)
        super()._load_optimizer_and_scheduler(checkpoint)
        # The files hold the rate and the height of the run that wrote them: one that goes on from the end of a shorter
        # schedule would make its first step at rate 0, and a learning rate that was changed would never be used.
        schedule.base_lrs = heights
        schedule._last_lr = [
            height * shape(schedule.last_epoch) for height, shape in zip(heights, schedule.lr_lambdas, strict=True)
        ]
        for group, height, rate in zip(self.optimizer.param_groups, heights, schedule._last_lr, strict=True):
            group["initial_lr"], group["lr"] = height, rate
        return None

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if self.is_fsdp_enabled and "FULL_STATE_DICT" not in str(self.accelerator.state.fsdp_plugin.state_dict_type):
            # Gathered by all processes, written by one.
            weights = self.accelerator.get_state_dict(self.model)
            if self.args.should_save:
                self._save(output_dir or self.args.output_dir, state_dict=weights)
        super().save_model(output_dir, _internal_call)  # under such an FSDP it writes nothing

    def save_final(self, folder: str) -> dict[str, Any]:
        """Saves the model that the run ends with; returns what its record says of it. Called on every process."""
        self.save_model(folder)
        best = self.state.best_global_step if self.args.load_best_model_at_end else None
        return {"step": best, "steps": self.state.global_step} if best else {"step": self.state.global_step}

    def after_final(self, record: Mapping[str, Any]) -> None:
        """Called on the process that wrote the final model, once it and its record are there."""

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
                flush(folder)
                mark.unlink()
        except Exception as error:
            # No space, no rights, a dead file system: whatever it is, the folder is no checkpoint.
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)
            raise TrainingFailed(unfinished(folder, folder.parent, error)) from error
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save:
            best = self.state.best_model_checkpoint
            rotate_checkpoints(
                output_dir=str(folder.parent),
                save_total_limit=limit,
                best_model_checkpoint=best if best and Path(best).parent == folder.parent else None,
                use_mtime=True,
            )


def discard_incomplete(folder: str | Path) -> list[str]:
    """Deletes checkpoints that were not written to their end; returns their names."""
    gone = [path.parent for path in Path(folder).glob(f"checkpoint-*/{INCOMPLETE}")]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in gone)


def flush(folder: Path) -> None:
    """Waits until all files of a folder, and its names, are on the disk."""
    for path in [*(path for path in folder.rglob("*") if path.is_file()), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
        InputError: stage, base, template, sharding or tools differ.
    """
    try:
        record = json.loads((checkpoint / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    record, facts = ({"tools": list(DEFAULT_TOOLS), **each} for each in (record, facts))
    now = {**facts, "chat_template": (facts.get("data") or {}).get("template")}
    for name in ("stage", "base", "chat_template", "distributed", "tools"):
        was, new = record.get(name), now.get(name)
        if was is not None and new is not None and not _alike(name, str(was), str(new)):
            hint = f"this run has {new} and would go on from another run: give another output_dir, or train as it did"
            raise InputError(checkpoint / NAME, name, was, hint)


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
