import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navigation import GET_CAPTION, VIDEO_QA, Question, Status, TimeGrid, Visit
from rewards import RewardMix, explain

GRID = TimeGrid(270.0, 3, 3)
QUESTION = Question("q", "v", "?", ("x", "y"), "B", ((95.0, 99.0),), 270.0)
VISITS = st.lists(
    st.builds(Visit, st.sampled_from([GET_CAPTION, VIDEO_QA]), st.sampled_from(list(GRID.paths()))), max_size=15
)


def accounts(visits: list[Visit], letter: str = "B", mix: RewardMix | None = None):
    mix = mix or RewardMix.from_config()
    breakdown = mix.score(QUESTION, GRID, visits, Status.ANSWERED, letter, 0, keep_steps=True)
    return breakdown, explain(breakdown, GRID, mix.settings.visit_cost)


@given(VISITS, st.sampled_from("AB"))
@settings(deadline=None)
def test_gains_and_charges_add_up_to_the_breakdown(visits, letter) -> None:
    breakdown, rows = accounts(visits, letter)
    assert [row.visit for row in rows] == visits
    assert sum(row.gain for row in rows) == pytest.approx(breakdown.tally.earned)
    paid = breakdown.weights["visit_cost"] * (breakdown.parts["visit_cost"] or 0)
    assert sum(row.charge for row in rows) == pytest.approx(paid)


def test_reasons_in_words() -> None:
    leaf = (2, 1, 1)
    visits = [
        Visit(GET_CAPTION, (3,)), Visit(GET_CAPTION, (2, 1)), Visit(GET_CAPTION, leaf), Visit(GET_CAPTION, (2,)),
        Visit(VIDEO_QA, leaf, "who?"), Visit(VIDEO_QA, leaf, "who?"),
    ]  # fmt: skip
    _, rows = accounts(visits)
    assert [row.reason for row in rows] == [
        "holds no clue time; within the budget",
        "holds 4.0 s of clue, opened on level 2 of 3; within the budget",
        "holds 4.0 s of clue, opened as finely as can be; 1 charged above the budget",
        "opened it, or something inside it, before; 1 charged, never free",
        "looked into the clip: priced, never part of grounding; 2 charged above the budget",
        "asked this before; 2 charged, never free",
    ]
    assert rows[1].place == "[2, 1] 1:30-2:00"
    assert [row.gain for row in rows[:4]] == pytest.approx([0, 1 / 3, 2 / 3, 0])


def test_a_wrong_answer_pays_nothing() -> None:
    _, rows = accounts([Visit(GET_CAPTION, (1,))] * 9, "A")
    assert {row.charge for row in rows} == {0.0}
    assert rows[5].reason == "opened it, or something inside it, before; free: only right answers pay"


def test_a_mix_without_visit_cost_charges_nothing() -> None:
    breakdown, rows = accounts([Visit(GET_CAPTION, (1,))] * 9, mix=RewardMix.from_config({"visit_cost": None}))
    assert "visit_cost" not in breakdown.parts
    assert {row.charge for row in rows} == {0.0}
    assert rows[0].reason == "holds no clue time"
