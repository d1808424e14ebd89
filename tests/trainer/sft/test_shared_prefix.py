"""A step that runs the beginning of its rows once has trl's loss, gradients and figures."""

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PrefixTuningConfig
from short_runs import losses, sft, weights
from trl import SFTConfig

from trainer import cached_rollout
from trainer.sft_trainer import NavigationSFTTrainer
from trainer.shared_prefix import LEAST, shared_length

VOCABULARY, SHARED, ROWS = 60, 30, 8
TOKENS = [SHARED + 5 + 7 * (number % 3) for number in range(ROWS)]


def rows(shared=SHARED):
    """Rows of 35 to 49 tokens, `shared` of them the same; every other one after the prefix is learned."""
    chance = torch.Generator().manual_seed(1)
    prefix = torch.randint(5, VOCABULARY, (shared,), generator=chance).tolist()
    made = []
    for number, length in enumerate(TOKENS):
        own = torch.randint(5, VOCABULARY, (length - shared,), generator=chance).tolist()
        own[0] = 5 + number  # no row goes on as another does
        ids = prefix + own
        labels = [-100] * shared + [token if place % 2 else -100 for place, token in enumerate(own)]
        made.append({"input_ids": ids, "labels": labels})
    return Dataset.from_list(made)


@pytest.fixture
def make_trainer(tiny_model, base, tmp_path):
    from trainer.checkpoint import load_tokenizer

    def make(batch=ROWS, share=True, data=None, trainer=None, **changed):
        options = {"bf16": False, "gradient_checkpointing": False, "max_length": None, **changed}
        arguments = SFTConfig(
            output_dir=str(tmp_path / f"{batch}-{share}"), use_cpu=True, report_to="none", learning_rate=1e-3,
            per_device_train_batch_size=batch, gradient_accumulation_steps=ROWS // batch, max_steps=1,
            disable_tqdm=True, save_strategy="no", logging_steps=1, **options,
        )  # fmt: skip
        made = NavigationSFTTrainer(
            model=tiny_model(VOCABULARY), args=arguments, train_dataset=rows() if data is None else data,
            processing_class=load_tokenizer(str(base)), **(trainer or {}),
        )  # fmt: skip
        made.share_prefix = share
        return made

    return make


def learn(trainer):
    """The first step's loss and figures, its gradients, and the tokens that the decoder ran."""
    run, found = [], {}
    model = trainer.accelerator.unwrap_model(trainer.model)
    hook = model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: run.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    whole = trainer._get_grad_norm

    def gradients(*arguments, **options):
        found.update({name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None})
        return whole(*arguments, **options)

    trainer._get_grad_norm = gradients
    trainer.train()
    hook.remove()
    return trainer.state.log_history[0], found, sum(run)


PADDED = {8: 8 * max(TOKENS), 1: sum(TOKENS)}


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("batch", [8, 1])
def test_loss_gradients_and_figures_are_trl_s(make_trainer, batch, adapter):
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_dropout=0.0, init_lora_weights=False)
    more = {"peft_config": lora} if adapter else {}
    (log, gradients, run), (their_log, theirs, their_run) = (
        learn(make_trainer(batch, share, trainer=more)) for share in (True, False)
    )
    saved = SHARED - 1
    assert their_run == PADDED[batch]
    assert run == PADDED[batch] - (ROWS - 1) * saved, "the prefix once, but for its last token"
    for name in ("loss", "entropy", "mean_token_accuracy", "num_tokens", "grad_norm"):
        assert log[name] == pytest.approx(their_log[name], rel=1e-4), name
    assert gradients.keys() == theirs.keys()
    assert len(theirs) > 3
    assert any("lora_A" in name for name in theirs) == adapter
    for name, gradient in theirs.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item())


def test_under_autocast_the_gradients_are_near(make_trainer):
    (_, mine, run), (_, theirs, their_run) = (learn(make_trainer(1, share, bf16=True)) for share in (True, False))
    assert run < their_run
    for name, gradient in theirs.items():
        assert torch.nn.functional.cosine_similarity(mine[name].flatten(), gradient.flatten(), 0) > 0.99, name


def test_whole_runs_end_with_the_same_weights(traces, base, tmp_path, monkeypatch):
    shared = sft(traces, base, tmp_path / "shared", max_steps=3, eval_strategy="steps", eval_steps=2)
    monkeypatch.setattr(NavigationSFTTrainer, "share_prefix", False)
    plain = sft(traces, base, tmp_path / "plain", max_steps=3, eval_strategy="steps", eval_steps=2)
    assert losses(shared) == pytest.approx(losses(plain), rel=2e-5)
    for name, weight in weights(shared).items():
        assert torch.allclose(weight, weights(plain)[name], atol=2e-5), name


WAYS = {
    "checkpointing": {"gradient_checkpointing": True},
    "noise": {"neftune_noise_alpha": 5.0},
    "smoothed labels": {"label_smoothing_factor": 0.1},
    "packing": {"packing": True, "max_length": 128},
    "dropout": {"trainer": {"peft_config": LoraConfig(r=4, target_modules=["q_proj"], lora_dropout=0.1)}},
    "virtual tokens": {"trainer": {"peft_config": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)}},
    "a short prefix": {"data": rows(LEAST)},
    "another trl": {},
}


@pytest.mark.parametrize("why", WAYS)
def test_what_it_cannot_do_goes_trl_s_way(make_trainer, monkeypatch, why):
    seen = []
    monkeypatch.setattr(NavigationSFTTrainer, "_after_prefix", lambda self, model, inputs: seen.append(1) or inputs)
    trainer = make_trainer(1 if why == "packing" else ROWS, **WAYS[why])
    if why == "another trl":
        monkeypatch.setattr(cached_rollout, "TESTED_TRL", "0.0")
        with pytest.warns(UserWarning, match="is run once: trl"):
            trainer.train()
    else:
        trainer.train()
    assert trainer.state.global_step == 1
    assert not seen


@given(
    st.lists(st.lists(st.integers(1, 2), min_size=1, max_size=6), min_size=1, max_size=5),
    st.integers(0, 6),
)
@settings(max_examples=200)
def test_no_learned_token_and_none_that_differs_is_shared(ids, learned):
    width = max(map(len, ids))
    padded = torch.tensor([each + [0] * (width - len(each)) for each in ids])
    places = torch.arange(width).expand_as(padded)
    labels = padded.masked_fill((places < learned) | (padded == 0), -100)
    batches = [{"input_ids": padded[:1], "labels": labels[:1]}, {"input_ids": padded[1:], "labels": labels[1:]}]
    length = shared_length(batches if len(ids) > 1 else batches[:1])
    assert all(each[: length + 1] == ids[0][: length + 1] for each in padded.tolist()) or length == 0
    # A learned token's predictor is the token before it: that one stays with its row.
    assert (labels[:, : length + 1] == -100).all() or length == 0
    common = next((at for at in range(width) if len(set(padded[:, at].tolist())) > 1), width)
    first = next((at for at in range(width) if (labels[:, at] != -100).any()), width)
    assert length == max(0, min(common, first) - 1)
