"""How pages and charts look: colours, figures in words, places that keep their distance, generated parts of a page."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from navigation import InputError, write_atomic

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


def number(value: float | None, digits: int = 3) -> str:
    """A value as text: about three digits, thousands apart, a dash for None."""
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    text = f"{value:.{digits}g}" if abs(value) >= 1 else f"{value:.2f}"
    return text if "e" not in text else f"{value:.0f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}".removesuffix(".0") + " %"


def interval(bounds: Sequence[float | None] | None, as_percent: bool = False) -> str:
    """`0.71–0.79`, or a dash."""
    if not bounds or None in bounds:
        return "–"
    if as_percent:
        return f"{percent(bounds[0]).removesuffix(' %')}–{percent(bounds[1])}"
    return f"{number(bounds[0])}–{number(bounds[1])}"


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Positions at least `apart`, at least squared distance from the wanted ones (pool adjacent violators); clipped."""
    pools: list[tuple[float, int]] = []  # sum of offsets, members
    for index, x in enumerate(wanted):
        total, members = x - index * apart, 1
        while pools and pools[-1][0] / pools[-1][1] > total / members:
            before, count = pools.pop()
            total, members = total + before, members + count
        pools.append((total, members))
    offsets = [total / members for total, members in pools for _ in range(members)]
    last = high - apart / 2 - (len(wanted) - 1) * apart
    return [max(low + apart / 2, min(offset, last)) + index * apart for index, offset in enumerate(offsets)]


def replace_block(page: str | Path, name: str, text: str) -> None:
    """Puts `text` between `<!-- NAME begins -->` and `<!-- NAME ends -->` of a Markdown page.

    Raises:
        InputError: no such page, or without its markers.
    """
    page = Path(page)
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    if not page.is_file():
        raise InputError(page, "page", str(page), "give the folder of the docs")
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InputError(page, "markers", name, f"put {begin} and {end} where the generated part goes")
    write_atomic(page, f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
