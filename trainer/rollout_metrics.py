"""Which episodes of a batch teach, and what the batch is measured by besides rewards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from navigation import InputError, Status

CHOICES = ("masked", "penalised")
SOURCE = "grpo config"


@dataclass(frozen=True)
class EpisodeMasks:
    """What becomes of an episode by its status.

    `masked`: no token of it carries a loss and its reward stays out of the group's mean. `penalised`: it is trained on
    as the reward's `format` part has it. An answered episode is always trained on.

    Args:
        masked: The statuses that are masked.
    """

    masked: frozenset[Status] = frozenset({Status.FAILED, Status.FILTERED})

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "EpisodeMasks":
        """Reads `{status: masked | penalised}`. What is left out: `failed` and `filtered` are masked, the others
        penalised.

        Raises:
            InputError: an unknown status, an unknown choice, or `answered`.
        """
        if config is None:
            return cls()
        if not isinstance(config, Mapping):
            raise InputError(SOURCE, "episodes", config, "give a mapping from a status to masked or penalised")
        endings = [status for status in Status if status is not Status.ANSWERED]
        masked = set(cls().masked)
        for name, choice in config.items():
            if name not in endings:
                raise InputError(SOURCE, f"episodes.{name}", choice, f"give one of {', '.join(endings)}")
            if choice not in CHOICES:
                raise InputError(SOURCE, f"episodes.{name}", choice, f"give {' or '.join(CHOICES)}")
            status = Status(name)
            masked = masked | {status} if choice == "masked" else masked - {status}
        return cls(frozenset(masked))


SPREAD = 1e-6
"""Rewards of a group closer than this are equal. trl compares at 1e-8, which sums of weighted parts miss."""


def chance_of(options: Sequence[str] | None) -> float:
    """Share of right answers of a guess: 0 for an answer in words."""
    return 1 / len(options) if options else 0.0


def equal_groups(rewards: torch.Tensor, size: int) -> torch.Tensor:
    """Which groups' rewards are all the same, so that they teach nothing.

    Args:
        rewards: Total reward by episode, [groups * size], group after group; NaN where an episode does not count.
        size: Episodes a group.

    Returns:
        1 or 0 a group, [groups]; NaN where no episode of the group counts.
    """
    grouped = rewards.double().view(-1, size)  # [groups, size]
    counted = ~grouped.isnan()
    # What does not count neither raises the highest nor lowers the lowest of its group. [groups]
    highest = grouped.masked_fill(~counted, -torch.inf).amax(1)
    lowest = grouped.masked_fill(~counted, torch.inf).amin(1)
    return (highest - lowest).lt(SPREAD).double().masked_fill(~counted.any(1), torch.nan)


def kept_fraction(ratio: torch.Tensor, mask: torch.Tensor, lowest: float | None, highest: float | None) -> float:
    """Share of trained tokens whose importance ratio is used as it is: neither clipped nor zeroed.

    Args:
        ratio: Ratios after clipping or masking, [episodes, tokens], or [episodes, 1] for one an episode.
        mask: 1 where a token carries a loss, [episodes, tokens].
        lowest: Lower clipping bound, or None.
        highest: Upper clipping bound, or None.
    """
    kept = ratio > (0.0 if lowest is None else lowest)
    if highest is not None:
        kept &= ratio < highest
    counted = mask.bool()  # [episodes, tokens]
    total = counted.sum()
    # One ratio an episode speaks for all of its tokens.
    return (kept.expand_as(counted) & counted).sum().div(total).item() if total else 1.0


def accuracy_per_visit(accuracy: float, visits: float, chance: float) -> float:
    """Accuracy beyond guessing, for each visit made: what the best checkpoint is best at.

    A policy that stops looking answers at chance for no visit at all, which a plain ratio would call the best there is.

    Args:
        accuracy: Share of right answers.
        visits: Mean visits an episode; fewer than one count as one.
        chance: Share of right answers of a guess.
    """
    return (accuracy - chance) / max(visits, 1.0)
