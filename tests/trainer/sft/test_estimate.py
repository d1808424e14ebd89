"""The estimator against what torch reports on a tiny model, and against what is known of Qwen3-8B."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from short_runs import flags
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3ForCausalLM
from transformers.integrations import HfDeepSpeedConfig, is_deepspeed_zero3_enabled
from trl.trainer.utils import add_fused_lm_head

from navigation import InputError
from trainer.activations import kept_bytes, storage_id
from trainer.estimate import Parameters, Setup, config_of, memory, model_config, peak_flops, step_flops
from trainer.sft import main

TINY = config_of({
    "vocab_size": 600, "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True,
})  # fmt: skip
QWEN3_8B = model_config(str(Path(__file__).parents[3] / "configs/model/qwen3_8b_random.yaml"))
LORA = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")


def make(adapter):
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(TINY)
    add_fused_lm_head(model)
    return model if adapter is None else get_peft_model(model, adapter)


def kept(model, ids, checkpointing):
    """Bytes that a real forward pass through the decoder keeps."""
    owned = {storage_id(parameter) for parameter in model.parameters()}
    found = {}

    def pack(tensor):
        if storage_id(tensor) not in owned:
            found[storage_id(tensor)] = tensor.untyped_storage()
        return tensor

    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.get_decoder()(input_ids=ids, use_cache=False)
    return sum(storage.nbytes() for storage in found.values())


@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("optimizer", ["adamw_torch", "sgd"])
def test_weights_gradients_and_states_are_what_torch_reports(adapter, optimizer):
    model = make(adapter)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    made = torch.optim.AdamW(trained) if optimizer == "adamw_torch" else torch.optim.SGD(trained)
    ids = torch.arange(40).reshape(2, 20)
    model(input_ids=ids, labels=ids, fused_lm_head=True).loss.backward()
    made.step()
    found = memory(TINY, Setup(40, dtype=torch.float32, optimizer=optimizer, adapter=adapter))
    assert found.weights == sum(each.nbytes for each in model.parameters())
    assert found.gradients == sum(each.grad.nbytes for each in trained)
    states = [value for state in made.state.values() for value in state.values() if value.dim()]
    assert found.optimizer == sum(each.nbytes for each in states)
    assert Parameters.of(TINY, adapter).trained == sum(each.numel() for each in trained)


@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("shape", [(1, 64), (3, 200)])
def test_activations_are_what_autograd_keeps(adapter, shape):
    ids = torch.zeros(shape, dtype=torch.long)
    model = make(adapter)
    if adapter is not None:
        model.enable_input_require_grads()
    measured = kept(model, ids, checkpointing=False)
    counted = kept_bytes(TINY, torch.float32, adapter=adapter).per_token(3, False) * ids.numel()
    assert counted == pytest.approx(measured, rel=0.02)


def test_with_checkpointing_the_boundaries_are_kept():
    ids = torch.zeros(2, 150, dtype=torch.long)
    counts = kept_bytes(TINY, torch.float32)
    # What is kept at the end of the forward pass; the layer that runs again comes on top in the backward pass.
    expected = (counts.per_token(3, True) - counts.layer) * ids.numel()
    assert kept(make(None), ids, checkpointing=True) == pytest.approx(expected, rel=0.1)


def test_flops_are_what_torch_counts():
    model = make(None)
    model.set_attn_implementation("eager")  # torch has no count for the CPU's fused attention
    ids = torch.arange(120).reshape(1, 120)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids).logits.sum().backward()
    # torch counts attention over the whole square, the estimate the half of it that causality leaves.
    attention = 3 * 2 * 2 * 3 * 4 * 16 * 120 * 120
    estimate = step_flops(TINY, 120, 120) + attention / 2
    assert estimate == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_qwen3_8b_s_known_figures():
    counts = Parameters.of(QWEN3_8B)
    assert counts.every == 8_190_735_360  # the published model's count
    one = memory(QWEN3_8B, Setup(8192))
    assert one.weights == one.gradients == 2 * counts.every
    assert one.optimizer == 4 * counts.every
    eight = memory(QWEN3_8B, Setup(8192, 8, 3, engine="deepspeed"))
    assert eight.weights == counts.every / 4
    assert eight.optimizer == pytest.approx(12 * counts.every / 8)
    assert memory(QWEN3_8B, Setup(8192, 8, 3, engine="deepspeed", optimizer="paged_adamw_8bit")).optimizer < (
        6.1 * counts.every / 8
    )
    quantized = memory(QWEN3_8B, Setup(8192, adapter=LORA, four_bit=True))
    assert 5 * 2**30 < quantized.weights < 6.5 * 2**30


def test_sharding_divides_what_it_shards():
    whole = memory(TINY, Setup(64, 4, 0))
    for stage in (1, 2, 3):
        found = memory(TINY, Setup(64, 4, stage))
        assert whole.optimizer / found.optimizer == 4
        assert whole.gradients / found.gradients == (4 if stage >= 2 else 1)
        assert whole.weights / found.weights == (4 if stage == 3 else 1)
        assert found.activations == whole.activations


@pytest.mark.parametrize(("field", "value"), [("engine", "horovod"), ("stage", 4)])
def test_an_unknown_setup_is_named(field, value):
    with pytest.raises(InputError) as error:
        memory(TINY, Setup(64, **{field: value}))
    assert (error.value.field, error.value.value) == (field, value)


def test_an_unknown_gpu_counts_as_an_h100():
    assert peak_flops("NVIDIA H200 NVL") == ("H200", 989e12)
    assert peak_flops("Something Else") == ("H100", 989e12)


def test_a_dry_run_prints_the_estimate_and_trains_nothing(traces, base, tmp_path, capsys):
    main([*flags(traces, base, tmp_path), "--dry_run", "true"])
    out = capsys.readouterr().out
    assert "weights" in out
    assert "activations" in out
    assert "hours on 1 x" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resolved_config.yaml"]


def test_counts_are_of_the_whole_model_where_training_divides_it():
    """Under ZeRO-3 transformers partitions every model that is made, and a partitioned one has no shapes to count."""
    alone = Parameters.of(TINY, LORA)
    divided = HfDeepSpeedConfig({"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 1})
    assert is_deepspeed_zero3_enabled()
    assert Parameters.of(TINY, LORA) == alone
    assert is_deepspeed_zero3_enabled()
    del divided
    assert not is_deepspeed_zero3_enabled()
