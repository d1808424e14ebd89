"""What an episode is worth: answer, grounding, visit cost, format, and the weighted mix."""

from longvideo_r1.score import official_score
from rewards.explain import VisitAccount, explain
from rewards.grounding import coverage, interval_f1, navigation_f1
from rewards.mix import Breakdown, RewardMix
from rewards.visits import ClueTime, Step, Tally, clue_time, tally

__all__ = [
    "Breakdown",
    "ClueTime",
    "RewardMix",
    "Step",
    "Tally",
    "VisitAccount",
    "clue_time",
    "coverage",
    "explain",
    "interval_f1",
    "navigation_f1",
    "official_score",
    "tally",
]  # fmt: skip
