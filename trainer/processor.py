"""What this machine's processor computes fast in."""

import torch


def computes_bf16() -> bool:
    """Whether bfloat16 is computed in hardware here: by a GPU, or a CPU with AVX512-BF16 or AMX.

    Other CPUs emulate it: a training step takes four times as long as in fp32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
