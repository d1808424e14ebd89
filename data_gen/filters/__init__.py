"""What makes a trajectory unfit to learn from: rejection, hint leaks, near-duplicates, and questions that teach
nothing."""

from data_gen.filters.leaks import Leak, find_leaks
from data_gen.filters.near_duplicates import NearDuplicates
from data_gen.filters.rejection import KEEP, FilterReport, FilterSettings, faults, filter_trajectories, pass_rates

__all__ = [
    "KEEP", "FilterReport", "FilterSettings", "Leak", "NearDuplicates", "faults", "filter_trajectories", "find_leaks",
    "pass_rates",
]  # fmt: skip
