"""Memory that a training on a CPU gives back: rows of many lengths leave holes in glibc's heap, which it keeps."""

import ctypes
from contextlib import suppress
from typing import Any

from transformers import TrainerCallback


class ReturnsFreedMemory(TrainerCallback):
    """Gives freed pages back to the system after every step.

    A step frees its activations in blocks of its rows' lengths; the next one's are of other lengths and do not fit the
    holes, so that the heap of a long run grows to several times what is in use. Where there is no glibc, or the model
    is on a GPU, nothing is done.
    """

    def __init__(self) -> None:
        self._trim: Any = None
        with suppress(OSError, AttributeError):  # macOS, musl
            self._trim = ctypes.CDLL("libc.so.6").malloc_trim

    def on_step_end(self, args, state, control, **kwargs):
        if self._trim is not None and args.device.type == "cpu":
            self._trim(0)
