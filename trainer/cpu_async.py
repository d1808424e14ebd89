"""What trl's asynchronous trainer lacks where there is no CUDA. Does nothing where there is.

The trainer is written for GPUs in three places: it looks up the device's peak rate by CUDA's name for it, it fetches a
FlashAttention kernel from the Hub, and it asks for the vllm package, which the adapter path never calls. A fourth place
is the server's: vLLM's CPU engine dies of a seeded request whose prefill is split.
"""

from types import SimpleNamespace

import torch
from torch.nn.functional import scaled_dot_product_attention


def prepare_for_cpu() -> None:
    """Puts what runs on a CPU in the place of what does not; only without CUDA. Call it before a trainer is made."""
    if torch.cuda.is_available():
        return
    from trl.experimental.async_grpo import async_grpo_trainer, async_rollout_worker, packing

    async_grpo_trainer.get_peak_flops_per_device = lambda *arguments: None
    async_rollout_worker.is_vllm_available = lambda *arguments, **options: True
    packing._flash_attn = lambda: SimpleNamespace(flash_attn_varlen_func=varlen_attention)


def server_takes_seeds() -> bool:
    """Whether requests may carry a seed: not where the server, too, has no CUDA."""
    return torch.cuda.is_available()


def varlen_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float | None = None,
    causal: bool = True,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> torch.Tensor:
    """FlashAttention's function of this name by one masked attention.

    Args:
        query: [queries, heads, size]: segments laid end to end.
        key: [keys, key-value heads, size]: for each segment the keys it may see, the last of them its own.
        value: Like `key`.
        cu_seqlens_q: Where segments begin and end in `query`, [segments + 1].
        cu_seqlens_k: The same in `key`.

    Returns:
        [queries, heads, size].
    """
    if not causal or softcap:
        raise NotImplementedError("only causal attention without a soft cap")
    lengths_q, lengths_k = cu_seqlens_q.diff(), cu_seqlens_k.diff()
    segment_q = torch.arange(len(lengths_q)).repeat_interleave(lengths_q)
    segment_k = torch.arange(len(lengths_k)).repeat_interleave(lengths_k)
    # Counted from the end of a segment, so that its last query sees its last key.
    to_end_q = cu_seqlens_q[1:][segment_q] - torch.arange(len(segment_q))
    to_end_k = cu_seqlens_k[1:][segment_k] - torch.arange(len(segment_k))
    distance = to_end_k - to_end_q.unsqueeze(1)
    mask = (segment_q.unsqueeze(1) == segment_k) & (distance >= 0)
    if window_size[0] >= 0:
        mask &= distance <= window_size[0]
    heads = [tensor.transpose(0, 1).unsqueeze(0) for tensor in (query, key, value)]
    out = scaled_dot_product_attention(*heads, attn_mask=mask, scale=softmax_scale, enable_gqa=True)
    return out[0].transpose(0, 1)
