"""What decoding with kept caches is compared with: a tiny model, and the whole history through it for every token."""

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

EOS = (1, 2, 3)


def random_model() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config).eval()


@torch.no_grad()
def from_nothing(model: Qwen3ForCausalLM, ids: list[int], most: int) -> list[int]:
    new: list[int] = []
    while len(new) < most:
        new.append(int(model(input_ids=torch.tensor([[*ids, *new]])).logits[0, -1].argmax()))
        if new[-1] in EOS:
            break
    return new
