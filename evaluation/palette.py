"""Colours of the report: safe for colour-blind readers, and named, so that the page adapts them to light and dark."""

from collections.abc import Iterable

INK, MUTED, LINE = "#1c2430", "#5d6875", "#dfe3e8"

SERIES = ("#0072b2", "#d55e00", "#009e73", "#aa5d8c", "#b97f00", "#3b94c4", "#8a8000", "#6b7280")
"""After Okabe and Ito, yellow and the light tones darkened until they read on white."""

CSS_NAMES = {
    INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(SERIES, 1)},
}  # fmt: skip

ORDER = (
    "grpo", "sft", "base", "endpoint", "expert", "exhaustive", "best_first", "coarse_to_fine", "spotlight", "consensus",
    "retrieval", "uniform", "random", "overview", "closed_book",
)  # fmt: skip
"""How policies are listed; others follow in the order given."""

_OF_POLICY = {
    "grpo": 1, "sft": 0, "expert": 2, "base": 3, "retrieval": 4, "uniform": 5, "exhaustive": 6, "random": 7,
    "overview": 5, "closed_book": 7, "endpoint": 1, "best_first": 0, "coarse_to_fine": 1, "spotlight": 3,
    "consensus": 4,
}  # fmt: skip
_MARKERS = {
    "grpo": "o", "sft": "o", "base": "o", "endpoint": "o", "expert": "*", "best_first": "D", "coarse_to_fine": "^",
    "spotlight": "v", "consensus": "P", "overview": "X", "closed_book": "X",
}  # fmt: skip


def in_order(names: Iterable[str]) -> list[str]:
    """Policy names in the order of `ORDER`."""
    names = list(names)
    rank = {name: number for number, name in enumerate(ORDER)}
    return sorted(names, key=lambda name: (rank.get(name, len(ORDER)), names.index(name)))


def colour_of(name: str, number: int = 0) -> str:
    """Colour of a policy: its own where it is known, else by its place in the list."""
    return SERIES[_OF_POLICY.get(name, number % len(SERIES))]


def marker_of(name: str) -> str:
    """Round for models, a star for the expert, a shape of its own for each search, square for others."""
    return _MARKERS.get(name, "s")
