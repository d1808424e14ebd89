"""Batches, accumulation and packing are ways to compute the same loss."""

import pytest
import torch
from datasets import Dataset
from dialogue import MESSAGES, TOOLS, golden_tokenizer
from short_runs import losses, same, sft, weights
from trl import SFTConfig, SFTTrainer

from navigation import InputError
from trainer.sft import packed_lengths, waste
from trainer.supervision import supervise


def test_eight_at_once_are_one_at_a_time_eight_times(traces, base, tmp_path):
    wide = sft(traces, base, tmp_path / "wide", per_device_train_batch_size=8, max_steps=3)
    deep = sft(
        traces, base, tmp_path / "deep", per_device_train_batch_size=1, gradient_accumulation_steps=8, max_steps=3
    )
    assert losses(wide) == pytest.approx(losses(deep), rel=2e-5)
    for name, weight in weights(wide).items():
        assert torch.allclose(weight, weights(deep)[name], atol=2e-5), name


def batches(model, tokenizer, rows, folder, **options):
    arguments = SFTConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        per_device_train_batch_size=1, **options,
    )  # fmt: skip
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    return trainer, list(trainer.get_train_dataloader())


def dialogues():
    """Rows of different lengths, none of which shares its turns with another."""
    rows = []
    for number in range(8):
        messages = [*MESSAGES[: 3 + 2 * (number % 3)]]
        messages[1] = {"role": "user", "content": f"What is in park {number}?\nA. a\nB. b\n"}
        rows.append({"messages": messages, "tools": TOOLS})
    return Dataset.from_list(rows, on_mixed_types="use_json")


def test_a_packed_row_s_loss_and_gradient_are_those_of_its_documents(tiny_model, tmp_path):
    tokenizer = golden_tokenizer()
    rows, counts = supervise(dialogues(), tokenizer)
    model = tiny_model(len(tokenizer))
    room = 3 * counts.longest
    packed_trainer, packed = batches(model, tokenizer, rows, tmp_path, packing=True, max_length=room)
    assert len(packed) < len(rows)
    plain_trainer, plain = batches(tiny_model(len(tokenizer)), tokenizer, rows, tmp_path, max_length=None)
    learned = counts.supervised
    for trainer, made in ((packed_trainer, packed), (plain_trainer, plain)):
        # A document's first token is never predicted, and its label is off either way.
        assert sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in made) == learned
        trainer.model.zero_grad()
        trainer.total = 0.0
        for batch in made:
            loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=torch.tensor(learned))
            loss.backward()
            trainer.total += loss.item()
    assert packed_trainer.total == pytest.approx(plain_trainer.total, rel=1e-5)
    for (name, one), (_, other) in zip(
        packed_trainer.model.named_parameters(), plain_trainer.model.named_parameters(), strict=True
    ):
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-6), name


def test_a_neighbour_in_the_row_changes_nothing(tiny_model, tmp_path):
    tokenizer = golden_tokenizer()
    rows, counts = supervise(dialogues(), tokenizer)
    model = tiny_model(len(tokenizer))
    _trainer, packed = batches(model, tokenizer, rows, tmp_path, packing=True, max_length=3 * counts.longest)
    batch = next(batch for batch in packed if (batch["position_ids"] == 0).sum() > 1)
    second = int((batch["position_ids"][0] == 0).nonzero()[1])
    changed = {name: value.clone() if torch.is_tensor(value) else value for name, value in batch.items()}
    changed["input_ids"][0, :second] = changed["input_ids"][0, :second].roll(3)
    inputs = ("input_ids", "position_ids")
    with torch.no_grad():
        before = model(**{name: batch[name] for name in inputs}).logits[0, second:]
        after = model(**{name: changed[name] for name in inputs}).logits[0, second:]
    assert before.equal(after)


def test_packing_trains_through_the_command(traces, base, tmp_path):
    packed = sft(traces, base, tmp_path / "packed", packing=True, max_length=1024, per_device_train_batch_size=1)
    again = sft(traces, base, tmp_path / "again", packing=True, max_length=1024, per_device_train_batch_size=1)
    assert same(weights(packed), weights(again))


def test_little_room_stays_empty():
    # Lengths as trajectories have them: several hundred to several thousand tokens, in rows of the published length.
    generator = torch.Generator().manual_seed(0)
    lengths = (torch.rand(900, generator=generator) ** 2 * 11_000 + 1_500).int().tolist()
    rows = Dataset.from_list([{"input_ids": [1] * length, "labels": [1] * length} for length in lengths])
    packed = packed_lengths(rows, 24_576)
    assert sum(packed) == sum(lengths)
    assert waste(packed, 24_576) < 0.03
    padded = sum(max(lengths[first : first + 8]) * 8 for first in range(0, 896, 8))
    assert 1 - sum(lengths[:896]) / padded > 0.3


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"packing": True, "packing_strategy": "wrapped"}, "packing_strategy"),
        ({"assistant_only_loss": True}, "assistant_only_loss"),
        ({"too_long": "shorten"}, "too_long"),
        ({"whole_text_share": 2}, "whole_text_share"),
        ({"metric_for_best_model": "eval_navigation_accuracy"}, "metric_for_best_model"),
        ({"metric_for_best_model": "eval_navigation_acuracy"}, "metric_for_best_model"),
        ({"metric_for_best_model": "eval_navigation_unanswered",
          "navigation_questions": 3, "eval_strategy": "steps"}, "greater_is_better"),
        ({"navigation_questions": 3}, "eval_strategy"),
        ({"early_stopping_patience": 2}, "early_stopping_patience"),
        ({"navigation_questions": 3, "eval_strategy": "steps", "eval_steps": 2, "fsdp": "full_shard"},
         "navigation_questions"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_named(traces, base, tmp_path, options, field):
    with pytest.raises(InputError) as error:
        sft(traces, base, tmp_path, **options)
    assert error.value.field == field
