"""The tiny base looks words up before any training; a random model of its shape does not."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from navigation import InputError
from trainer.lookup_heads import set_lookup_heads

SHAPE = {
    "vocab_size": 400, "hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 128, "tie_word_embeddings": True, "initializer_range": 0.05,
    "max_position_embeddings": 2048, "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
}  # fmt: skip


def fresh(**changes) -> Qwen3ForCausalLM:
    torch.manual_seed(3)
    return Qwen3ForCausalLM(Qwen3Config(**{**SHAPE, **changes}))


def neighbours(model: Qwen3ForCausalLM, place: int) -> tuple[float, float]:
    """How often a word's left and right neighbours are among the two likeliest tokens after it comes up again."""
    generator = torch.Generator().manual_seed(1)
    words = torch.rand(64, 400, generator=generator).argsort(1)[:, :200]
    logits = model(input_ids=torch.cat([words, words[:, place : place + 1]], 1)).logits[:, -1]
    likeliest = logits.topk(2).indices
    left, right = ((likeliest == words[:, at : at + 1]).any(1).float().mean().item() for at in (place - 1, place + 1))
    return left, right


@pytest.mark.parametrize("place", [5, 100, 190])
def test_a_word_that_comes_again_brings_its_neighbours(place: int) -> None:
    model = fresh()
    with torch.no_grad():
        assert max(neighbours(model, place)) < 0.1
        set_lookup_heads(model, torch.Generator().manual_seed(0))
        left, right = neighbours(model, place)
    assert left > 0.5
    assert right > 0.5


def test_one_seed_gives_one_model() -> None:
    states = []
    for _ in range(2):
        model = fresh()
        set_lookup_heads(model, torch.Generator().manual_seed(7))
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(
    "changes",
    [{"head_dim": 64}, {"num_key_value_heads": 1}, {"num_hidden_layers": 1}, {"tie_word_embeddings": False}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_shape_is_refused_by_name(changes: dict) -> None:
    with pytest.raises(InputError) as error:
        set_lookup_heads(fresh(**changes), torch.Generator())
    assert [error.value.field] == list(changes)
