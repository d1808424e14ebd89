"""What a training on a CPU needs: which numbers it computes fast, memory given back, no score that is thrown away."""

import ctypes
from contextlib import suppress

import torch
from transformers import TrainerCallback


def computes_bf16() -> bool:
    """Whether bfloat16 is computed in hardware here: by a GPU, or a CPU with AVX512-BF16 or AMX.

    Other CPUs emulate it: a training step takes four times as long as in fp32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def return_freed_memory(device: torch.device) -> None:
    """Gives freed pages of a process that computes on a CPU back to the system.

    Keys, values and activations are freed in blocks of their rows' lengths; the next ones are longer or shorter and may
    not fit the holes, which glibc keeps. Each turn of 16 episodes left 1.3 GB so, a copy of their keys and values.
    Where there is no glibc nothing is done.
    """
    if device.type == "cpu":
        with suppress(OSError, AttributeError):  # macOS, musl
            ctypes.CDLL("libc.so.6").malloc_trim(0)


class ReturnsFreedMemory(TrainerCallback):
    """Gives freed pages back to the system after every step."""

    def on_step_end(self, args, state, control, **kwargs):
        return_freed_memory(args.device)


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
