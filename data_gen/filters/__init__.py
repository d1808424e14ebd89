"""What makes a trajectory unfit to learn from: wrong answers, leaked hints, repeats; pass rates of questions."""

from data_gen.filters.leaks import find_leaks
from data_gen.filters.rejection import (
    FilterReport,
    FilterSettings,
    NearDuplicates,
    Supports,
    faults,
    filter_trajectories,
    lexically_supported,
    pass_rates,
)

__all__ = [
    "FilterReport",
    "FilterSettings",
    "NearDuplicates",
    "Supports",
    "faults",
    "filter_trajectories",
    "find_leaks",
    "lexically_supported",
    "pass_rates",
]
