"""The head that passes over tokens without a label has the loss, the gradients and the metrics of trl's."""

import pytest
import torch
from trl.kernels import chunked_logprob
from trl.trainer import utils
from trl.trainer.utils import add_fused_lm_head

from trainer import cached_rollout
from trainer.cpu import score_supervised_alone

OUTPUTS = ("log_probs", "entropy", "is_top1")


@pytest.fixture
def trl_s_own(monkeypatch):
    monkeypatch.setattr(utils, "_use_triton", chunked_logprob._use_triton)


@pytest.fixture
def scored(monkeypatch):
    """Positions that each call of the kernel gets."""
    positions = []
    kernel = utils._ChunkedLogProbFunction.apply

    def counting(hidden, *arguments):
        positions.append(len(hidden))
        return kernel(hidden, *arguments)

    monkeypatch.setattr(utils._ChunkedLogProbFunction, "apply", counting)
    return positions


def step(model, labels):
    ids = torch.arange(24).reshape(2, 12)
    outputs = model(input_ids=ids, labels=labels, fused_lm_head=True)
    model.zero_grad()
    outputs.loss.backward()
    return outputs, {name: each.grad.clone() for name, each in model.named_parameters()}


@pytest.mark.parametrize("learned", [[(0, 3), (0, 9), (1, 11)], []])
def test_equal_to_trl_s(tiny_model, trl_s_own, scored, learned):
    model = tiny_model(40)
    add_fused_lm_head(model, outputs=OUTPUTS)
    labels = torch.full((2, 12), -100)
    for place in learned:
        labels[place] = 7
    theirs, their_gradients = step(model, labels)
    score_supervised_alone()
    ours, our_gradients = step(model, labels)
    assert scored == [22, len(learned)]
    for name in ("loss", *OUTPUTS, "label_mask"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    torch.testing.assert_close(our_gradients, their_gradients)


def test_an_untested_trl_keeps_its_way(trl_s_own, monkeypatch):
    monkeypatch.setattr(cached_rollout, "is_tested_trl", lambda what: False)
    score_supervised_alone()
    assert not utils._use_triton(torch.device("cpu"))
