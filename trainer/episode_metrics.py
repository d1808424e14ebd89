"""What a batch of episodes is told about besides rewards: shares, spreads and how many tokens count."""

from collections.abc import Sequence

import torch

from navigation import VIDEO_QA, Visit

SPREAD = 1e-6
"""Rewards of a group closer than this are equal. trl compares at 1e-8, which sums of weighted parts miss."""


def share_of_video_qa(walks: Sequence[Sequence[Visit]]) -> float:
    """Share of all visits that asked the vision model; 0 without any visit."""
    visits = [visit for walk in walks for visit in walk]
    return sum(visit.tool == VIDEO_QA for visit in visits) / len(visits) if visits else 0.0


def equal_groups(rewards: torch.Tensor, size: int) -> torch.Tensor:
    """Which groups' rewards are all the same, so that they teach nothing.

    Args:
        rewards: Total reward by episode, [groups * size], group after group; NaN where an episode does not count.
        size: Episodes a group.

    Returns:
        1 or 0 a group, [groups]; NaN where no episode of the group counts.
    """
    grouped = rewards.double().view(-1, size)
    counted = ~grouped.isnan()
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
    counted = mask.bool()
    total = counted.sum()
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
