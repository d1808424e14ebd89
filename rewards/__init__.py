"""What an episode is worth: answer, grounding, visit cost, format, and the weighted mix."""

from rewards.breakdown import Breakdown
from rewards.clues import ClueTime, clue_time
from rewards.explain import VisitAccount, explain
from rewards.grounding import coverage, interval_f1, navigation_f1
from rewards.mix import RewardMix
from rewards.official import official_score
from rewards.walk import Step, Walk, walk

__all__ = [
    "Breakdown", "ClueTime", "RewardMix", "Step", "VisitAccount", "Walk", "clue_time", "coverage", "explain",
    "interval_f1", "navigation_f1", "official_score", "walk",
]  # fmt: skip
