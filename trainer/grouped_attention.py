"""Attention for one token a row whose query heads share keys, without copying the keys for each of them.

transformers 5.17 repeats keys and values for every query head wherever a mask is given (`use_gqa_in_sdpa`). Of decoding
64 rows of 800 tokens on a CPU that was a third, and reading the copies much of the rest: `benchmarks/grpo.py`. Heads
that share keys are one head with several queries.
"""

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

GROUPED = "clipscout_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Like `sdpa_attention_forward` of transformers: query `[n, heads, q, size]`, keys `[n, fewer heads, seen, size]`.

    More than one token a row goes transformers' way.
    """
    rows, heads, count, size = query.shape
    if count != 1 or dropout or attention_mask is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    shared = query.view(rows, key.shape[1], heads // key.shape[1], size)
    mask = attention_mask.expand(-1, -1, shared.shape[2], -1)
    output = scaled_dot_product_attention(shared, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(rows, 1, heads, size), None


ALL_ATTENTION_FUNCTIONS.register(GROUPED, grouped_attention)
