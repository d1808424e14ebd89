"""Why an episode earned what it did: one account a visit, in words."""

from dataclasses import dataclass

from navigation import VIDEO_QA, Lookup, TimeGrid, Visit
from navigation.grid import clock, format_path
from rewards.mix import Breakdown
from rewards.settings import VisitCostSettings
from rewards.visits import Step


@dataclass(frozen=True, slots=True)
class VisitAccount:
    """What one visit or lookup earned and cost.

    Attributes:
        visit: The visit, or the lookup.
        place: Its segment and time, as in `[2, 5] 7:36-9:07`; of a lookup, what it asked for.
        clue_seconds: Clue time inside the segment, in seconds.
        gain: Coverage it added, 0 to 1.
        price: Visit units.
        charge: Weighted cost that reached the total, at most 0; 0 in an episode that was not answered right.
        reason: Why, in words.
    """

    visit: Visit | Lookup
    place: str
    clue_seconds: float
    gain: float
    price: float
    charge: float
    reason: str


def explain(breakdown: Breakdown, grid: TimeGrid, settings: VisitCostSettings | None = None) -> list[VisitAccount]:
    """One account a visit, in order, then one a lookup; their charges add up to the visit cost's share of the total.

    Args:
        breakdown: From `RewardMix.score(…, keep_steps=True)`.
        grid: The grid the episode played on.
        settings: Of the visit cost (`mix.settings.visit_cost`); None if it is switched off.
    """
    raw_cost = breakdown.parts.get("visit_cost")
    weight = breakdown.weights.get("visit_cost", 0.0)
    budget, cap = (settings.budget, settings.cap) if settings is not None else (0.0, 0.0)
    accounts = []
    spent = charged = 0.0
    for step in breakdown.tally.steps:
        if step.wasted:
            units = step.price
        else:
            units = max(0.0, spent + step.price - max(budget, spent))
            spent += step.price
        units = min(units, cap - charged)
        charged += units
        charge_in_words = _charge(step, units, raw_cost is not None, charged < cap)
        accounts.append(
            VisitAccount(
                visit=step.visit,
                place=_place(step.visit, grid),
                clue_seconds=step.clue_seconds,
                gain=step.gain,
                price=step.price,
                charge=0.0 if raw_cost is None or not units else weight * units,
                reason=_what(step, grid) + ("" if settings is None else charge_in_words),
            )
        )
    return accounts


def _place(visit: Visit | Lookup, grid: TimeGrid) -> str:
    if isinstance(visit, Lookup):
        return f"{visit.tool} {visit.query!r}" + (f" in {format_path(visit.within)}" if visit.within else "")
    start, end = grid.interval(visit.path)
    return f"{format_path(visit.path)} {clock(start)}-{clock(end)}"


def _what(step: Step, grid: TimeGrid) -> str:
    if isinstance(step.visit, Lookup):
        return "looked this up before" if step.wasted else "looked it up: priced, never part of grounding"
    if step.wasted:
        return "asked this before" if step.visit.tool == VIDEO_QA else "opened it, or something inside it, before"
    if step.visit.tool == VIDEO_QA:
        return "looked into the clip: priced, never part of grounding"
    if step.gain == 0:
        return "holds no clue time"
    finest = grid.is_leaf(step.visit.path)
    level = "as finely as can be" if finest else f"on level {len(step.visit.path)} of {grid.depth}"
    return f"holds {step.clue_seconds:.1f} s of clue, opened {level}"


def _charge(step: Step, units: float, right: bool, below_cap: bool) -> str:
    if not right:
        return "; free: only right answers pay"
    if units == 0:
        return "; within the budget" if below_cap else "; the cap is reached"
    return f"; {units:g} charged, never free" if step.wasted else f"; {units:g} charged above the budget"
