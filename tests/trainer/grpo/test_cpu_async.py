"""On a CPU the asynchronous trainer computes what it would elsewhere, and nothing is put in place where CUDA is."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import Qwen3Config, Qwen3ForCausalLM
from trl.experimental.async_grpo import async_grpo_trainer, async_rollout_worker, packing

from trainer.async_engine import prepare_for_cpu, server_takes_seeds, varlen_attention

CONFIG = {
    "vocab_size": 24, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.3, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture
def on_cpu(monkeypatch):
    for module, name in (
        (async_grpo_trainer, "get_peak_flops_per_device"), (async_rollout_worker, "is_vllm_available"),
        (packing, "_flash_attn"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    prepare_for_cpu()


def models():
    """The same weights under trl's packed attention and under plain attention."""
    packing.register_tree_attention()
    torch.manual_seed(0)
    plain = Qwen3ForCausalLM(Qwen3Config(**CONFIG, attn_implementation="sdpa")).eval()
    packed = Qwen3ForCausalLM(Qwen3Config(**CONFIG, attn_implementation=packing.TREE_ATTENTION)).eval()
    packed.load_state_dict(plain.state_dict())
    return plain, packed


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_packed_samples_see_what_they_would_see_alone(on_cpu, data):
    tokens = st.lists(st.integers(0, 23), min_size=2, max_size=10)
    prompts = data.draw(st.lists(tokens, min_size=1, max_size=3))
    samples = [prompt + data.draw(tokens) for prompt in prompts for _ in range(data.draw(st.integers(1, 3)))]
    row = packing.TreeRow()
    for number, ids in enumerate(samples):
        mask = [0] + [1] * (len(ids) - 1)
        row.add({
            "input_ids": np.array(ids), "completion_mask": np.array(mask), "group_id": number, "advantage": 0.0,
            "old_log_probs": np.zeros(len(ids)),
        })  # fmt: skip
    batch = row.pack()
    plain, packed = models()
    with torch.no_grad():
        logits = packed(
            input_ids=batch["input_ids"].unsqueeze(0), position_ids=batch["position_ids"].unsqueeze(0),
            tree_kv_index=batch["tree_kv_index"], tree_cu_seqlens_q=batch["tree_cu_seqlens_q"],
            tree_cu_seqlens_k=batch["tree_cu_seqlens_k"], tree_max_seqlen_q=int(batch["tree_max_seqlens"][0]),
            tree_max_seqlen_k=int(batch["tree_max_seqlens"][1]),
        ).logits[0]  # fmt: skip
        mine = logits[batch["token_index"]]
        theirs = torch.cat([plain(input_ids=torch.tensor([ids])).logits[0, :-1] for ids in samples])
    assert torch.allclose(mine, theirs, atol=1e-5)


def test_a_window_hides_what_lies_before_it():
    torch.manual_seed(0)
    query, key, value = (torch.randn(6, 2, 4) for _ in range(3))
    ends = torch.tensor([0, 6], dtype=torch.int32)
    out = varlen_attention(query, key, value, ends, ends, 6, 6, window_size=(1, -1))
    scores = torch.einsum("qhd,khd->hqk", query, key) / 2.0
    near = torch.tensor([[0 <= q - k <= 1 for k in range(6)] for q in range(6)])
    expected = torch.einsum("hqk,khd->qhd", scores.masked_fill(~near, -torch.inf).softmax(-1), value)
    assert torch.allclose(out, expected, atol=1e-6)


def test_nothing_is_replaced_where_there_is_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = (async_grpo_trainer.get_peak_flops_per_device, async_rollout_worker.is_vllm_available, packing._flash_attn)
    prepare_for_cpu()
    assert before == (
        async_grpo_trainer.get_peak_flops_per_device, async_rollout_worker.is_vllm_available, packing._flash_attn
    )  # fmt: skip
    assert server_takes_seeds()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not server_takes_seeds()
