"""How a training run stops before its end: on a signal, with a reason and an exit code."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback

PREEMPTED = 75
"""Exit code of a run that was told to stop and saved itself (EX_TEMPFAIL): start it again and it goes on."""


class TrainingFailed(RuntimeError):
    """A run that cannot go on: a loss that is NaN, no memory, no disk. The message names the fix."""


class Preempted(Exception):
    """A run that was told to stop, and stopped after saving.

    Args:
        step: Optimizer steps done.
        checkpoint: The folder to go on from.
    """

    def __init__(self, step: int, checkpoint: str) -> None:
        super().__init__(f"told to stop: saved step {step} to {checkpoint}; run the same command again to go on")
        self.step, self.checkpoint = step, checkpoint


class StopOnSignal(TrainerCallback):
    """Saves a checkpoint and ends training after the step in which SIGTERM came to any of the processes.

    transformers' own `enable_jit_checkpoint` saves on the process that got the signal alone, at once; several processes
    then save different steps or wait for each other. Here they agree after every step.
    """

    def __init__(self) -> None:
        self.agreed = False
        """Whether all processes stopped after a step and saved it. A signal after the last step changes nothing."""
        self._requested = False
        self._before: Callable[[int, FrameType | None], Any] | int | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)

    def on_step_end(self, args, state, control, **kwargs):
        if self._anyone(args.device):
            self.agreed = True
            control.should_save = True
            control.should_evaluate = False
            control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._requested = True

    def _anyone(self, device: torch.device) -> bool:
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self._requested
        flag = torch.tensor(int(self._requested), device=device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag.item())
