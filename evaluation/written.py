"""Figures as pages write them. Apart from the report, so that pages without charts need no plotting library."""

from collections.abc import Sequence


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
