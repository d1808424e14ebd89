"""What a training on a CPU needs: which numbers it computes fast, memory given back, no score that is thrown away."""

import ctypes
from contextlib import suppress
from typing import Any

import torch
from transformers import TrainerCallback


def computes_bf16() -> bool:
    """Whether bfloat16 is computed in hardware here: by a GPU, or a CPU with AVX512-BF16 or AMX.

    Other CPUs emulate it: a training step takes four times as long as in fp32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class ReturnsFreedMemory(TrainerCallback):
    """Gives freed pages back to the system after every step.

    A step frees its activations in blocks of its rows' lengths; the next one's are of other lengths and may not fit the
    holes, which glibc keeps. How much of a long run's growth that is has not been measured. Where there is no glibc, or
    the model is on a GPU, nothing is done.
    """

    def __init__(self) -> None:
        self._trim: Any = None
        with suppress(OSError, AttributeError):  # macOS, musl
            self._trim = ctypes.CDLL("libc.so.6").malloc_trim

    def on_step_end(self, args, state, control, **kwargs):
        if self._trim is not None and args.device.type == "cpu":
            self._trim(0)


def score_supervised_alone() -> None:
    """Has all fused heads of this process, those made before too, pass over tokens without a label on CPUs.

    Where Triton is absent, trl 1.16.0 scores every position and throws away what has no label: on compilers of fixed
    shapes (Neuron) another number of positions would be another program. A CPU compiles nothing, and of a trajectory
    one token in six is learned: over a vocabulary of 49,152 that was a quarter of a step (`benchmarks/lm.py`). Equal
    but for rounding: tests/trainer/sft/test_supervised_head.py.
    """
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    from trainer.cached_rollout import is_tested_trl

    if is_tested_trl("the head scores every token on a CPU"):
        utils._use_triton = lambda device: device.type == "cpu" or chunked_logprob._use_triton(device)
