"""The order of samples: what torch and trl draw, and the same again whatever a run was stopped in."""

import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import RandomSampler
from trl.trainer.utils import RepeatSampler

from trainer.sample_order import Orders, RepeatEpoch, RowOrder

LENGTHS = [5, 9, 1, 7, 3, 8, 2, 6]


def state(epoch=None, saved=None):
    return SimpleNamespace(epoch=epoch, stateful_callbacks={"Orders": saved} if saved else {})


def order(orders, epoch, longest=0):
    orders.on_epoch_begin(None, state(epoch), None)
    return list(RowOrder(LENGTHS, longest, orders))


def test_the_longest_rows_come_first_and_the_rest_in_the_order_of_the_draw():
    torch.manual_seed(5)
    drawn = list(RandomSampler(LENGTHS))
    torch.manual_seed(5)
    assert order(Orders(), 0.0) == drawn
    torch.manual_seed(5)
    assert order(Orders(), 0.0, longest=3) == [1, 5, 3, *[row for row in drawn if row not in (1, 5, 3)]]
    assert list(RowOrder([1, 3, 2], 4, Orders(0))) == [1, 2, 0]


@pytest.mark.parametrize("seed", [None, 7])
def test_a_resumed_epoch_has_the_order_that_it_had(seed):
    torch.manual_seed(1)
    first = Orders(seed)
    whole = [order(first, float(epoch)) for epoch in range(3)]
    assert all(one != other for one, other in pairwise(whole))
    torch.manual_seed(99)  # a resumed run has drawn other things by then
    again = Orders(seed)
    again.on_train_begin(None, state(2.25, json.loads(json.dumps(first.state()))), None)
    assert order(again, 2.25) == whole[2]


def test_processes_that_drew_differently_agree():
    agreed = []
    one, other = (Orders(agree=lambda seed: (agreed.append(seed), agreed[0])[1]) for _ in range(2))
    torch.manual_seed(1)
    first = order(one, 0.0)
    torch.manual_seed(2)
    assert order(other, 0.0) == first
    assert len(set(agreed)) == 2


def test_groups_of_a_later_epoch_are_those_of_a_run_that_came_there():
    def sampler():
        return RepeatSampler(range(7), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=4)

    trls = sampler()
    whole = [list(trls) for _ in range(3)]
    assert whole[1] != whole[0]
    for epoch in range(3):
        orders = Orders()
        orders.on_epoch_begin(None, state(epoch + 0.5), None)
        ours = RepeatEpoch(sampler(), orders)
        assert len(ours) == len(trls)
        assert list(ours) == list(ours) == whole[epoch]
