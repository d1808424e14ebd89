import pickle

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from navigation import GET_CAPTION, VIDEO_QA, InputError, Question, Status, TimeGrid, Visit
from rewards import RewardMix

GRID = TimeGrid(270.0, 3, 3)
CONFIGS = [
    None,
    {"grounding": {"measure": "interval_f1"}},
    {"visit_cost": {"target": 3.0, "weight": 0.05}},
    {"grounding": {"measure": "interval_f1"}, "visit_cost": {"target": 3.0, "weight": 0.05}},
    {"grounding": None},
    {"visit_cost": None},
]
PATHS = st.sampled_from(list(GRID.paths()))
VISITS = st.lists(
    st.builds(Visit, st.just(GET_CAPTION), PATHS)
    | st.builds(Visit, st.just(VIDEO_QA), st.sampled_from(list(GRID.paths(3))), st.sampled_from(["who?", "what?"])),
    max_size=25,
)
MIXES = st.sampled_from([RewardMix.from_config(config) for config in CONFIGS])


def ask(*clues: tuple[float, float]) -> Question:
    return Question("q", "v", "?", ("x", "y", "z"), "B", clues, GRID.duration)


def leaf_clue(index: int) -> tuple[float, float]:
    return GRID.interval(GRID.path(index, 3))


CLUES = st.lists(st.integers(0, 26).map(leaf_clue), max_size=3)


def total(mix: RewardMix, question: Question, visits: list[Visit], prediction: str = "B", refused: int = 0) -> float:
    value = mix.score(question, GRID, visits, Status.ANSWERED, prediction, refused).total
    assert value is not None
    return value


@given(MIXES, CLUES, VISITS, PATHS, st.sampled_from("AB"))
@settings(max_examples=300, deadline=None)
def test_no_repeat_no_late_parent_and_no_visit_off_the_clues_raises_the_total(mix, clues, visits, path, letter) -> None:
    question = ask(*clues)
    opened = [visit.path for visit in visits if visit.tool == GET_CAPTION]
    start, stop = GRID.interval(path)
    misses = not any(begin < stop and end > start for begin, end in clues)
    late = any(earlier[: len(path)] == path for earlier in opened)
    assume(misses or late)
    before, after = (
        total(mix, question, visits, letter),
        total(mix, question, [*visits, Visit(GET_CAPTION, path)], letter),
    )
    assert after <= before + 1e-12


@given(MIXES, CLUES, VISITS, st.data(), st.sampled_from("AB"))
@settings(deadline=None)
def test_asking_again_never_raises_the_total(mix, clues, visits, data, letter) -> None:
    assume(visits)
    question = ask(*clues)
    again = data.draw(st.sampled_from(visits))
    assert total(mix, question, [*visits, again], letter) <= total(mix, question, visits, letter) + 1e-12


@given(MIXES, CLUES, VISITS, VISITS, st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None)
def test_every_right_answer_totals_more_than_every_wrong_one(mix, clues, visits, others, refused, refusals) -> None:
    question = ask(*clues)
    right = total(mix, question, visits, "B", refused)
    assert right > total(mix, question, others, "A", refusals)
    for status in (Status.UNPARSABLE, Status.OUT_OF_TURNS, Status.OUT_OF_TOKENS):
        assert right > mix.score(question, GRID, others, status, None, refusals).total


@given(MIXES, CLUES, VISITS, st.sampled_from(list(Status)), st.sampled_from(["A", "B", None]), st.integers(0, 50))
@settings(deadline=None)
def test_totals_are_bounded_and_add_up(mix, clues, visits, status, prediction, refused) -> None:
    scored = mix.score(ask(*clues), GRID, visits, status, prediction, refused)
    if status in (Status.FAILED, Status.FILTERED):
        assert scored.total is None
        assert set(scored.parts.values()) <= {None}
        return
    assert -0.6 <= scored.total <= 1.3
    assert scored.total == pytest.approx(
        sum(scored.weights[part] * value for part, value in scored.parts.items() if value is not None)
    )


@pytest.mark.parametrize(
    ("status", "prediction", "answer", "cost", "penalty"),
    [
        (Status.ANSWERED, "B", 1.0, 1.0, 0.25),
        (Status.ANSWERED, "A", 0.0, None, 0.25),
        (Status.UNPARSABLE, None, 0.0, None, 1.0),
        (Status.OUT_OF_TURNS, None, 0.0, None, 1.0),
        (Status.OUT_OF_TOKENS, None, 0.0, None, 1.0),
        (Status.FAILED, None, None, None, None),
    ],
)
def test_each_status_has_its_reward(status, prediction, answer, cost, penalty) -> None:
    visits = [Visit(GET_CAPTION, path) for path in ((2,), (2, 1), (2, 1, 1))]
    parts = RewardMix.from_config().score(ask((90, 100)), GRID, visits, status, prediction, 1).parts
    assert parts == {
        "answer": answer,
        "grounding": None if status is Status.FAILED else 1.0,
        "visit_cost": cost,
        "format": penalty,
    }


def test_penalties_are_configured_by_status() -> None:
    mix = RewardMix.from_config({"format": {"unparsable": 0.5, "out_of_turns": 0.2, "refused": 0}})
    question = ask()
    assert mix.score(question, GRID, [], Status.UNPARSABLE, None, 9).parts["format"] == 0.5
    assert mix.score(question, GRID, [], Status.OUT_OF_TURNS, None, 9).parts["format"] == 0.2
    assert mix.score(question, GRID, [], Status.OUT_OF_TOKENS, None, 9).parts["format"] == 1.0


@pytest.mark.parametrize("clues", [(), ((3.0, 3.0),), ((270.0, 400.0),)])
def test_without_clue_time_grounding_does_not_apply(clues) -> None:
    for measure in ("navigation_f1", "interval_f1", "official"):
        mix = RewardMix.from_config({"grounding": {"measure": measure}})
        scored = mix.score(ask(*clues), GRID, [Visit(GET_CAPTION, (1,))], Status.ANSWERED, "B", 0)
        assert scored.parts["grounding"] is None
        assert scored.total == pytest.approx(1.0)


def test_prices_budget_and_cap() -> None:
    mix = RewardMix.from_config({"visit_cost": {"budget": 1, "cap": 6, "prices": {"video_qa": 3}}})
    caption, look = Visit(GET_CAPTION, (2, 1, 1)), Visit(VIDEO_QA, (2, 1, 1), "who?")

    def cost(*visits: Visit) -> float | None:
        return mix.score(ask((90, 100)), GRID, visits, Status.ANSWERED, "B", 0).parts["visit_cost"]

    assert cost() == cost(caption) == 0
    assert cost(caption, look) == 3
    assert cost(caption, caption) == 1
    assert cost(caption, look, look) == 6
    assert cost(*[caption, look] * 9) == 6


def test_official_grounding_reads_executed_visits_or_the_given_text() -> None:
    mix = RewardMix.from_config({"grounding": {"measure": "official"}})
    grid, question = TimeGrid(3600.0, 6, 3), Question("q", "v", "?", ("x", "y"), "B", ((200.0, 300.0),), 3600.0)
    visits = [Visit(GET_CAPTION, (1, 3))] * 10
    scored = mix.score(question, grid, visits, Status.ANSWERED, "B", 0)
    assert scored.parts["grounding"] == pytest.approx(10 - 0.2 * 9)
    assert scored.weights["grounding"] == 1.0
    text = "<tool>get_caption((1,3))</tool><answer>B</answer>"
    assert mix.score(question, grid, [], Status.ANSWERED, "B", 0, text).parts["grounding"] == pytest.approx(1.0)
    assert mix.score(question, grid, [], Status.ANSWERED, "B", 0).parts["grounding"] == 0


@pytest.mark.parametrize(
    ("config", "field", "said"),
    [
        ({"grounding": {"mesure": "interval_f1"}}, "grounding.mesure", "'measure'"),
        ({"groundign": {}}, "groundign", "'grounding'"),
        ({"grounding": {"measure": "navigation"}}, "grounding.measure", "'navigation_f1'"),
        ({"visit_cost": {"prices": {"video_qs": 1}}}, "visit_cost.prices.video_qs", "'video_qa'"),
        ({"visit_cost": {"weight": -1}}, "visit_cost.weight", "0"),
        ({"visit_cost": {"weight": True}}, "visit_cost.weight", "0"),
        ({"visit_cost": {"weight": float("nan")}}, "visit_cost.weight", "0"),
        ({"visit_cost": {"budget": 4, "target": 3}}, "visit_cost.target", "4.0"),
        ({"visit_cost": {"target": 3, "weight": 1}}, "visit_cost.weight", "max_weight"),
        ({"visit_cost": 3}, "visit_cost", "mapping"),
        ([], "config", "mapping"),
    ],
)
def test_wrong_configs_say_what_to_write(config, field, said) -> None:
    with pytest.raises(InputError) as error:
        RewardMix.from_config(config)
    assert error.value.field == field
    assert said in error.value.hint


def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(InputError) as error:
        RewardMix().score(ask(), GRID, [Visit("look", (1,))], Status.ANSWERED, "B", 0)
    assert (error.value.field, error.value.value) == ("tool", "look")


def test_a_mix_survives_pickling() -> None:
    mix = RewardMix.from_config({"visit_cost": {"target": 3.0}})
    mix.cost_weight.update(9.0)
    copy = pickle.loads(pickle.dumps(mix))
    visits = [Visit(GET_CAPTION, path) for path in GRID.paths()]
    assert copy.weights == mix.weights
    assert total(copy, ask((0, 9)), visits) == total(mix, ask((0, 9)), visits)
