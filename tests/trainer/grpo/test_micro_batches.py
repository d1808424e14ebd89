"""A step whose micro-batches are tidied has the gradient of the step as trl shuffled and padded it."""

import pytest
import torch

from trainer.micro_batches import tidied

PROMPTS, GROUP, PROMPT, COMPLETION = 3, 4, 9, 12


def step_of(vocabulary):
    """Three groups of four episodes as trl splits them: shuffled, padded to the longest, in four micro-batches."""
    chance = torch.Generator().manual_seed(0)
    prompts = torch.randint(5, vocabulary, (PROMPTS, PROMPT), generator=chance).repeat_interleave(GROUP, 0)
    prompt_mask = torch.ones_like(prompts)
    prompt_mask[:GROUP, :2] = 0
    completions = torch.randint(5, vocabulary, (PROMPTS * GROUP, COMPLETION), generator=chance)
    completion_mask = torch.ones_like(completions)
    for row in range(PROMPTS * GROUP):
        completion_mask[row, 2 + row % 7 :] = 0
    rows = {
        "prompt_ids": prompts * prompt_mask,
        "prompt_mask": prompt_mask,
        "completion_ids": completions * completion_mask,
        "completion_mask": completion_mask,
        "tool_mask": completion_mask.clone(),
        "advantages": torch.randn(PROMPTS * GROUP, generator=chance),
    }
    order = torch.randperm(PROMPTS * GROUP, generator=chance)
    parts = {name: value[order].chunk(4) for name, value in rows.items()}
    count = completion_mask.sum()
    return [
        {**{name: each[number] for name, each in parts.items()}, "num_items_in_batch": count} for number in range(4)
    ]


def rows_of(batches):
    """Each episode without padding, in any order."""
    found = []
    for batch in batches:
        for row, advantage in enumerate(batch["advantages"].tolist()):
            kept = batch["completion_mask"][row] > 0
            prompt = batch["prompt_ids"][row][batch["prompt_mask"][row] > 0].tolist()
            found.append((prompt, batch["completion_ids"][row][kept].tolist(), advantage))
    return sorted(found)


def test_groups_stay_together_and_nothing_is_wider_than_it_needs():
    made = step_of(50)
    tidy = tidied(made)
    assert rows_of(tidy) == rows_of(made)
    for batch in tidy:
        assert bool(batch["completion_mask"].any(0).all())
        assert bool(batch["prompt_mask"].any(0).all())
        assert batch["tool_mask"].shape == batch["completion_ids"].shape
    different = [len({tuple(row) for row in batch["prompt_ids"].tolist()}) for batch in tidy]
    assert sum(different) < sum(len({tuple(row) for row in batch["prompt_ids"].tolist()}) for batch in made)


@pytest.mark.parametrize("loss", ["dr_grpo", "dapo"])
def test_the_gradient_is_trl_s(make_trainer, loss):
    trainer = make_trainer(loss_type=loss, beta=0.0)
    trainer.current_gradient_accumulation_steps = 4
    made = step_of(trainer.model.config.vocab_size)

    def gradient(batches):
        trainer.model.train()
        trainer.model.zero_grad()
        for batch in batches:
            trainer._compute_loss(trainer.model, batch).backward()
        return {name: each.grad.clone() for name, each in trainer.model.named_parameters()}

    torch.testing.assert_close(gradient(tidied(made)), gradient(made), rtol=1e-4, atol=1e-6)
