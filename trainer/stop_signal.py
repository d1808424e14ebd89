"""SIGTERM ends a run after the step it is in, with a checkpoint from which it goes on exactly."""

import signal
from typing import Any

from transformers import TrainerCallback


class StopSignal(TrainerCallback):
    """Saves and stops at the end of the step during which SIGTERM came.

    transformers' own `enable_jit_checkpoint` may save between the rollouts of a step and its update, so that resuming
    draws other rollouts.

    Attributes:
        received: Whether the signal came.
    """

    def __init__(self) -> None:
        self.received = False
        self._before: Any = None

    def _note(self, number: int, frame: object) -> None:
        self.received = True

    def on_train_begin(self, args, state, control, **kwargs):
        self._before = signal.signal(signal.SIGTERM, self._note)

    def on_train_end(self, args, state, control, **kwargs):
        signal.signal(signal.SIGTERM, self._before)

    def on_step_end(self, args, state, control, **kwargs):
        if self.received:
            control.should_save = True
            control.should_training_stop = True
