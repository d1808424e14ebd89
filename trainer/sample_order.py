"""Which sample comes when: the same after a resume as without one, in every epoch and on every process.

transformers draws the order of an epoch while it resumes, before it puts the random state back, and accelerate does not
tell every sampler which epoch it is. Here an order depends on its epoch, and on what was drawn for it if it had begun.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState
from trl.trainer.utils import RepeatSampler


class Orders(TrainerCallback, ExportableState):
    """The epoch at hand, and the seed of each epoch's order, kept in the checkpoints.

    Args:
        seed: `data_seed`: an epoch's seed is this plus its number. None: it is drawn when the epoch begins.
        agree: Gives every process the first one's value.
    """

    def __init__(self, seed: int | None = None, agree: Callable[[int], int] = lambda seed: seed) -> None:
        self.seed, self.agree = seed, agree
        self.epoch = 0
        self.drawn: dict[int, int] = {}

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"drawn": {str(epoch): seed for epoch, seed in self.drawn.items()}}}

    def on_train_begin(self, args, state, control, **kwargs):
        saved = state.stateful_callbacks.get(type(self).__name__)
        self.drawn = {int(epoch): seed for epoch, seed in saved["attributes"]["drawn"].items()} if saved else {}

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.epoch = int(state.epoch or 0)

    def current(self) -> int:
        """The seed of the epoch at hand."""
        if self.seed is not None:
            return self.seed + self.epoch
        if self.epoch not in self.drawn:
            # What torch's RandomSampler draws.
            self.drawn[self.epoch] = self.agree(int(torch.empty((), dtype=torch.int64).random_().item()))
        return self.drawn[self.epoch]


class RowOrder(Sampler[int]):
    """A random order, after the longest rows if some are to come first in every epoch, longest first.

    Which rows a step holds depends on its size alone, not on how it is split over devices and accumulation.

    Args:
        lengths: Tokens of each row.
        longest: How many of the longest rows come first.
        orders: Gives the seed.
    """

    def __init__(self, lengths: Sequence[int], longest: int, orders: Orders) -> None:
        self.count, self.orders = len(lengths), orders
        self.longest = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))[:longest]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        moved = set(self.longest)
        order = torch.randperm(self.count, generator=torch.Generator().manual_seed(self.orders.current())).tolist()
        yield from [*self.longest, *[row for row in order if row not in moved]]


class RepeatEpoch(RepeatSampler):
    """trl's `RepeatSampler`, whose one generator goes from epoch to epoch, put where the epoch at hand begins.

    Args:
        sampler: As trl made it.
        orders: Knows the epoch.
    """

    def __init__(self, sampler: RepeatSampler, orders: Orders) -> None:
        self.__dict__.update(vars(sampler))
        self.orders = orders

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            assert self.seed is not None, "trl seeds its sampler"
            self.generator.manual_seed(self.seed)
            for _ in range(self.orders.epoch):
                torch.randperm(self.num_samples, generator=self.generator)
        yield from super().__iter__()
