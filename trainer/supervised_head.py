"""trl 1.16.0's fused head on a CPU, scoring the tokens that are learned and no others.

Where Triton is absent, trl scores every position and throws away what has no label: on compilers of fixed shapes
(Neuron) another number of positions would be another program. A CPU compiles nothing, and of a trajectory one token in
six is learned: over a vocabulary of 49,152 that was a quarter of a step (`benchmarks/lm.py`). Equal but for rounding:
tests/trainer/sft/test_supervised_head.py.
"""

import torch
from trl.kernels import chunked_logprob
from trl.trainer import utils

from trainer.cached_rollout import is_tested_trl


def score_supervised_alone() -> None:
    """Has all fused heads of this process, those made before too, pass over tokens without a label on CPUs."""
    if is_tested_trl("the head scores every token on a CPU"):
        utils._use_triton = _passes_over


def _passes_over(device: torch.device) -> bool:
    return device.type == "cpu" or chunked_logprob._use_triton(device)
