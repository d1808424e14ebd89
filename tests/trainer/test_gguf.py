"""A checkpoint made of a GGUF file says what the file's model says, and ends its turns where the chat template does."""

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM

from navigation import InputError
from navigation.prompt import chat_template, template_hash
from trainer.checkpoint import load_tokenizer, read_record
from trainer.gguf import import_gguf

gguf = pytest.importorskip("gguf")
CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WIDTH, INNER, LAYERS = 32, 64, 2


def write_gguf(path, controls=CONTROLS, split="smollm"):
    """A random llama of a byte-level vocabulary, its matrices quantized."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*controls, *letters, "ab", "ĠĠ"]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(LAYERS)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(controls) + [1] * (len(tokens) - len(controls)))
    writer.add_token_merges(["a b", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    shapes = {"token_embd.weight": (len(tokens), WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.{name}.weight": shape
            for name, shape in {
                "attn_norm": (WIDTH,),
                "attn_q": (WIDTH, WIDTH),
                "attn_k": (WIDTH // 2, WIDTH),
                "attn_v": (WIDTH // 2, WIDTH),
                "attn_output": (WIDTH, WIDTH),
                "ffn_norm": (WIDTH,),
                "ffn_gate": (INNER, WIDTH),
                "ffn_up": (INNER, WIDTH),
                "ffn_down": (WIDTH, INNER),
            }.items()
        }
    for name, shape in shapes.items():
        values = rng.normal(0, 0.2, shape).astype(np.float32) + (len(shape) == 1)
        kind = gguf.GGMLQuantizationType.Q8_0
        if len(shape) == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_checkpoint_gives_the_file_s_logits(tmp_path):
    file, out = write_gguf(tmp_path / "tiny.gguf"), tmp_path / "out"
    import_gguf(file, out)
    before = AutoModelForCausalLM.from_pretrained(str(tmp_path), gguf_file="tiny.gguf", dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    ids = torch.randint(0, before.config.vocab_size, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(after(ids).logits, before(ids).logits, atol=1e-4, rtol=0)
    assert after.dtype == torch.float32
    assert getattr(after.config, "quantization_config", None) is None


def test_turns_end_where_the_template_ends_them(tmp_path):
    import_gguf(write_gguf(tmp_path / "tiny.gguf"), tmp_path / "out")
    tokenizer = load_tokenizer(str(tmp_path / "out"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id == 2
    assert model.generation_config.pad_token_id == model.config.pad_token_id == tokenizer.pad_token_id == 0
    assert read_record(tmp_path / "out")["chat_template"] == template_hash(chat_template())
    text = "<|im_start|>user\nab  12 — ▁ 3</s><|im_end|>"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    # SmolLM2 takes digits one by one, before spaces are joined to what follows them.
    assert tokenizer.convert_ids_to_tokens(tokenizer("ab  12")["input_ids"]) == ["ab", "ĠĠ", "1", "2"]


def test_weights_in_bfloat16(tmp_path):
    import_gguf(write_gguf(tmp_path / "tiny.gguf"), tmp_path / "out", "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("made", "field"),
    [({"controls": CONTROLS[:2]}, "tokenizer"), ({"split": "llama-bpe"}, "tokenizer.ggml.pre")],
)
def test_what_the_template_cannot_use_is_refused(tmp_path, made, field):
    with pytest.raises(InputError) as error:
        import_gguf(write_gguf(tmp_path / "tiny.gguf", **made), tmp_path / "out")
    assert error.value.field == field
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"no model", b"", b"GGUF\x03\0\0\0\x05"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(InputError) as error:
        import_gguf(tmp_path / "x.gguf", tmp_path / "out")
    assert error.value.field == "file"
