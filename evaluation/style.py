"""How pages and charts look: colours, figures in words, places that keep their distance, generated parts of a page."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from navigation import InputError, write_atomic

if TYPE_CHECKING:
    from jinja2 import Template

INK, MUTED, LINE = "#1c2430", "#5d6875", "#dfe3e8"

SERIES = ("#0072b2", "#d55e00", "#009e73", "#aa5d8c", "#b97f00", "#3b94c4", "#8a8000", "#6b7280")
"""After Okabe and Ito, yellow and the light tones darkened until they read on white."""

CSS_NAMES = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)"}
CSS_NAMES |= {colour: f"var(--c{number})" for number, colour in enumerate(SERIES, 1)}

_KNOWN = """
    grpo             1 o
    sft              0 o
    base             3 o
    endpoint         1 o
    expert           2 *
    exhaustive       6 s
    best_first       0 D
    coarse_to_fine   1 ^
    spotlight        3 v
    consensus        4 P
    retrieval        4 s
    search_read      2 p
    hierarchy_search 3 h
    uniform          5 s
    random           7 s
    overview         5 X
    closed_book      7 X
"""
"""Policies in the order in which they are listed: place of the colour in `SERIES`, and marker."""
_LOOKS = {name: (int(colour), marker) for name, colour, marker in map(str.split, _KNOWN.strip().splitlines())}


def in_order(names: Iterable[str]) -> list[str]:
    """Policy names as pages list them; unknown ones follow in the order given. Of `eval/sft`, `sft` is known."""
    names, known = list(names), list(_LOOKS)

    def place(name: str) -> tuple[int, int]:
        last = _last(name)
        return known.index(last) if last in known else len(known), names.index(name)

    return sorted(names, key=place)


def colour_of(name: str, number: int = 0) -> str:
    """Colour of a policy: its own where it is known, else by its place in the list."""
    look = _LOOKS.get(_last(name))
    return SERIES[look[0] if look is not None else number % len(SERIES)]


def colour_class(name: str, number: int = 0) -> str:
    """The same as a class of the page's style sheet."""
    return f"c{SERIES.index(colour_of(name, number)) + 1}"


def shade(share: float) -> str:
    """A class of the style sheet that shades a table's cell by a share in [0, 1]."""
    return f"shade-{round(10 * share)}"


def marker_of(name: str) -> str:
    """Round for models, a star for the expert, a shape of its own for each search, square for others."""
    look = _LOOKS.get(_last(name))
    return look[1] if look is not None else "s"


def _last(name: str) -> str:
    return name.rpartition("/")[2]


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


def template(name: str) -> "Template":
    """A page of `templates/`, every value escaped, with figures in words as filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # every command's help loads this module

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent, "interval": interval, "shade": shade}
    return environment.get_template(name)


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
