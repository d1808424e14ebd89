"""A small traces folder and a random tiny model, made once a session."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from data_gen.traces import write_traces
from trainer.tiny_base import corpus_texts, train_tokenizer

MODEL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True, "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}  # fmt: skip


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    write_traces("small_world", None, folder, limit=60, wander=0.4)
    return folder


@pytest.fixture(scope="session")
def make_base(traces, tmp_path_factory):
    """Makes a random model of `MODEL` with changes, and its tokenizer; returns their folder."""

    def make(**changes):
        folder = tmp_path_factory.mktemp("base")
        tokenizer = train_tokenizer(corpus_texts(traces))
        torch.manual_seed(0)
        ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), **ends, **(MODEL | changes)))
        model.generation_config.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def base(make_base):
    return make_base()


@pytest.fixture
def tiny_model():
    """Makes a random model of a given vocabulary; the same seed, the same weights."""

    def make(vocabulary: int, seed: int = 0) -> Qwen3ForCausalLM:
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(Qwen3Config(vocab_size=vocabulary, pad_token_id=0, eos_token_id=2, **MODEL))

    return make
