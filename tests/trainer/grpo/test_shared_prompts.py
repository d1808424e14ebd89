"""The loss of a group whose prompt is run once is trl's own, and so are its gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig

from trainer import cached_rollout
from trainer.cached_rollout import distinct


def batch_of(trainer, groups, size, prompt, completion, seed=0):
    """Groups of rows with one prompt each, prompts padded on the left, completions on the right, rows shuffled."""
    chance = torch.Generator().manual_seed(seed)
    vocabulary = trainer.model.config.vocab_size
    prompts = torch.randint(5, vocabulary, (groups, prompt), generator=chance).repeat_interleave(size, 0)
    prompt_mask = torch.ones_like(prompts)
    for group in range(groups):
        prompt_mask[group * size : (group + 1) * size, : 3 * group] = 0
    completions = torch.randint(5, vocabulary, (groups * size, completion), generator=chance)
    completion_mask = torch.ones_like(completions)
    for row in range(groups * size):
        completion_mask[row, completion - row % completion :] = 0
    order = torch.randperm(groups * size, generator=chance)
    ids = torch.cat([prompts.masked_fill(prompt_mask == 0, 0), completions], 1)[order]
    return ids, torch.cat([prompt_mask, completion_mask], 1)[order], completion


def scored(trainer, ids, mask, keep, share):
    """Log-probabilities and entropies of the completions, the gradients of a weighted sum of them, and tokens run."""
    trainer.share_prompts, trainer._may_share = share, None
    run = []
    decoder = trainer.accelerator.unwrap_model(trainer.model).get_decoder()
    hook = decoder.register_forward_pre_hook(
        lambda _, args, kwargs: run.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    trainer.model.train()
    trainer.model.zero_grad()
    logps, entropies, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, mask, keep, compute_entropy=True, compute_aux_loss=False
    )
    hook.remove()
    weights = torch.linspace(-1, 1, logps.numel()).view_as(logps) * mask[:, -keep:]
    (logps * weights).sum().backward()
    gradients = {name: each.grad.clone() for name, each in trainer.model.named_parameters() if each.grad is not None}
    return logps.detach() * mask[:, -keep:], entropies * mask[:, -keep:], gradients, sum(run)


@pytest.mark.parametrize("adapter", [False, True])
def test_log_probabilities_entropies_and_gradients_are_trl_s(make_trainer, adapter):
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], lora_dropout=0.0, init_lora_weights=False)
    trainer = make_trainer(trainer={"peft_config": lora} if adapter else None)
    ids, mask, keep = batch_of(trainer, groups=3, size=4, prompt=40, completion=17)
    mine, theirs = (scored(trainer, ids, mask, keep, share) for share in (True, False))
    assert (mine[3], theirs[3]) == (3 * 39 + 12 * 18, 12 * 57), "each prompt once, but for its last token"
    torch.testing.assert_close(mine[0], theirs[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(mine[1], theirs[1], rtol=0, atol=1e-5)
    assert mine[2].keys() == theirs[2].keys()
    assert ("lora_A" in next(iter(mine[2]))) == adapter
    for name, gradient in theirs[2].items():
        torch.testing.assert_close(mine[2][name], gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item())


def lengths(completion_ids, **_):
    return [float(len(ids)) for ids in completion_ids]


def test_a_step_learns_what_trl_s_learns(make_trainer, tmp_path):
    weights = []
    for share in (True, False):
        trainer = make_trainer(
            output_dir=tmp_path / str(share), num_generations=4, per_device_train_batch_size=8,
            trainer={"share_prompts": share},
        )  # fmt: skip
        # An untaught policy earns the same in all episodes, and would learn nothing.
        trainer.reward_funcs = [lengths] * len(trainer.reward_funcs)
        trainer.train()
        weights.append({name: each.detach() for name, each in trainer.model.named_parameters()})
        assert trainer._may_share is share
    moved = 0.0
    start = dict(make_trainer(output_dir=tmp_path / "start").model.named_parameters())
    for name, theirs in weights[1].items():
        moved = max(moved, (theirs - start[name]).abs().max().item())
        # Adam's first step is a step of the learning rate, 1e-3, in the direction of each gradient.
        assert ((weights[0][name] - theirs).abs() < 1e-5).float().mean() > 0.99
    assert moved > 5e-4


@pytest.mark.parametrize("why", ["checkpointing", "dropout", "another trl", "no shared prompt", "a batch size"])
def test_what_it_cannot_do_goes_trl_s_way(make_trainer, monkeypatch, why):
    lora = LoraConfig(r=4, target_modules=["q_proj"], lora_dropout=0.1)
    trainer = make_trainer(
        trainer={"peft_config": lora} if why == "dropout" else None, gradient_checkpointing=why == "checkpointing"
    )
    groups, size = (4, 1) if why == "no shared prompt" else (2, 2)
    ids, mask, keep = batch_of(trainer, groups, size, prompt=12, completion=5)
    if why == "another trl":
        monkeypatch.setattr(cached_rollout, "TESTED_TRL", "0.0")
        with pytest.warns(UserWarning, match="a prompt is run once for each of its rows: trl"):
            assert scored(trainer, ids, mask, keep, True)[3] == ids.numel()
        return
    if why == "a batch size":
        with torch.no_grad():
            logps, *_ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, keep, batch_size=1)
        torch.testing.assert_close(
            logps * mask[:, -keep:], scored(trainer, ids, mask, keep, True)[0], rtol=0, atol=1e-5
        )
        return
    assert scored(trainer, ids, mask, keep, True)[3] == ids.numel()
    assert trainer._may_share is (why == "no shared prompt")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=60)
def test_distinct_prompts_are_those_that_differ_in_tokens_or_padding(kinds, padded):
    prompts = torch.tensor([[kind // 2, 7, 7, 7] for kind in kinds])
    masks = torch.ones_like(prompts)
    masks[:, :padded] = torch.tensor([[kind % 2] for kind in kinds])
    first, inverse = distinct(prompts, masks)
    rows = [tuple(row) for row in torch.cat([prompts, masks], 1).tolist()]
    assert [rows[first[place]] for place in inverse] == rows
    assert len(first) == len(set(rows))
    assert all(rows.index(rows[place]) == place for place in first.tolist()), "the first row of each"
