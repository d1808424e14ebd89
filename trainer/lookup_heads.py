"""Three attention heads of a fresh Qwen3, set by hand: it looks things up from the first step.

Every pretrained language model finds an earlier place of a token and what stood beside it there: induction heads
(Olsson et al. 2022, "In-context Learning and Induction Heads"). A model of half a million parameters needs many CPU
minutes to grow them, and on some seeds does not. Here a head of the first layer attends to the token before; two heads
of the second attend to earlier places of the same token, and hand on what stood before it there, or after it. All of it
is ordinary weights, trained on like any other; nothing of any corpus is in it.
"""

import math
from typing import Any, cast

import torch
from transformers import PretrainedConfig, Qwen3ForCausalLM

from navigation import InputError

FAST = 16
"""Rotary frequencies, the fastest ones, that tell a distance of one from others."""

SLOW_FROM = 32
"""First rotary frequency slow enough to leave a match alone over hundreds of tokens (of 64, at base 1,000,000)."""

SHARP = 1.25
"""Gain of the query and key norms: with heads of size 128 it separates 1 from 0 by 18 in the exponent.

That finds one place among thousands. A sharper head finds it no better, and training moves it all or nothing.
"""

SURE = 2.0
"""Gain of the last norm. Embeddings this small leave every wrong token some chance, which sampling finds."""


@torch.no_grad()
def set_lookup_heads(model: Qwen3ForCausalLM, generator: torch.Generator) -> None:
    """Rewrites the embeddings, the last norm, head 0 of the first layer, and heads 0 and 1 of the second.

    The first half of the residual stream holds what a token is, the second half what stood before it.

    Args:
        model: Freshly initialised: at least two layers of at least two heads of size 128, a key-value head for every
            head, tied embeddings, a hidden size of at most 256.
        generator: Seeds the directions in which tokens are compared.

    Raises:
        InputError: a config of another shape.
    """
    config = model.config
    _check(config)
    size, half, scale = config.head_dim, config.hidden_size // 2, config.initializer_range
    constant = half - 1  # a coordinate that is the same for every token: what position alone decides is read from it
    embeddings = cast(torch.nn.Embedding, model.get_input_embeddings()).weight  # [vocabulary, hidden size]
    embeddings *= 2
    embeddings[:, half:] = 0
    embeddings[:, constant] = 6 * scale
    for layer in model.model.layers:  # what is random stays quieter than what is set
        layer.self_attn.o_proj.weight *= 0.2
        layer.mlp.down_proj.weight *= 0.2
    model.model.norm.weight.fill_(SURE)
    before, match = (model.model.layers[index].self_attn for index in (0, 1))
    for attention, heads in ((before, 1), (match, 2)):
        attention.q_norm.weight.fill_(SHARP)
        attention.k_norm.weight.fill_(SHARP)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight[: heads * size] = 0  # [heads * size, hidden size]: what a head reads is its rows
        attention.o_proj.weight[:, : heads * size] = 0  # [hidden size, heads * size]: what it writes, its columns
    token, previous = slice(0, half), slice(half, 2 * half)
    identity = torch.eye(half)  # [half, half]; a head of 128 has room for half of a hidden size of at most 256

    # Keys turned by one step: the score is highest where the query stands one place after the key.
    # Rotary frequency f turns coordinates f and f + size // 2 of a head, as transformers pairs them.
    base: float = cast(dict[str, Any], config.rope_parameters)["rope_theta"]
    turn = base ** (-2 * torch.arange(FAST) / size)  # radians a step, [FAST]
    before.q_proj.weight[:FAST, constant] = 1
    before.k_proj.weight[:FAST, constant] = turn.cos()
    before.k_proj.weight[size // 2 : size // 2 + FAST, constant] = turn.sin()
    before.v_proj.weight[:half, token] = identity
    before.v_proj.weight[constant] = 0
    before.o_proj.weight[previous, :half] = 2 * scale * identity

    # One random map of tokens on both sides, in frequencies that hardly turn.
    compare = torch.randn(size, half, generator=generator) / math.sqrt(half)  # [head size, half of the stream]
    compare[:, constant] = 0
    compare[:SLOW_FROM] = 0
    compare[size // 2 : size // 2 + SLOW_FROM] = 0
    for head, (key, value) in enumerate(((token, previous), (previous, token))):
        first = head * size
        match.q_proj.weight[first : first + size, token] = compare
        match.k_proj.weight[first : first + size, key] = compare
        match.v_proj.weight[first : first + half, value] = identity
        match.o_proj.weight[token, first : first + half] = 6 * scale * identity
    match.v_proj.weight[size + constant] = 0
    # A token matches itself best: the fast frequencies take that back at distance zero. Head 0 alone: head 1 looks
    # for places after the same token, of which the place itself is one only in a repeat.
    away = _repulsion(model, compare, constant, generator)
    match.q_proj.weight[:FAST, constant] = away
    match.k_proj.weight[:FAST, constant] = -away


def _check(config: PretrainedConfig) -> None:
    for name, value, wanted in (
        ("head_dim", config.head_dim, config.head_dim == 128),
        ("num_attention_heads", config.num_attention_heads, config.num_attention_heads >= 2),
        ("num_key_value_heads", config.num_key_value_heads, config.num_key_value_heads == config.num_attention_heads),
        ("num_hidden_layers", config.num_hidden_layers, config.num_hidden_layers >= 2),
        ("hidden_size", config.hidden_size, config.hidden_size <= 256 and config.hidden_size % 2 == 0),
        ("tie_word_embeddings", config.tie_word_embeddings, bool(config.tie_word_embeddings)),
    ):
        if not wanted:
            hint = "heads of 128, at least 2, each with its keys; 2 layers or more; hidden size up to 256; tied words"
            raise InputError("model config", name, value, f"a base with lookup heads needs {hint}")


def _repulsion(model: Qwen3ForCausalLM, compare: torch.Tensor, constant: int, generator: torch.Generator) -> float:
    """Weight at which the repulsion of a place from itself takes back most of its match.

    With more of it the match of a near place fades too, and its ripples are felt far off.
    """
    seen: dict[str, torch.Tensor] = {}
    norm = model.model.layers[1].input_layernorm
    # Without each row's first token, which has none before it.
    hook = norm.register_forward_hook(lambda module, inputs, output: seen.update(output=output[:, 1:]))
    model(input_ids=torch.randint(model.config.vocab_size, (8, 64), generator=generator))
    hook.remove()
    states = seen["output"]  # what the second layer reads, [8, 63, hidden size]
    # A match of a token with itself is the squared length of its comparison vector, [8, 63, head size].
    matched = (states[..., : compare.shape[1]] @ compare.T).square().sum(-1).mean()
    return float((0.8 * matched / (FAST * states[..., constant].square().mean())).sqrt())
