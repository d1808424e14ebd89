"""Every episode of up to five visits on small trees: none totals more than the shortest right one.

Episodes that differ only by swapping sibling subtrees with the same clue, none of them touched yet, have the same
total; one of each kind is scored. `test_symmetry_loses_no_total` checks that against enumeration without any such
saving.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement, permutations, product
from pathlib import Path

import pytest
import yaml

from navigation import GET_CAPTION, JUMP, SEARCH, VIDEO_QA, Lookup, Question, Status, TimeGrid, Visit
from navigation import SegmentPath as Address
from rewards import RewardMix

LEAF = 9.0
Interval = tuple[float, float]


def small_grid(width: int, depth: int) -> TimeGrid:
    return TimeGrid(LEAF * width**depth, width, depth)


def clue_inside(grid: TimeGrid, path: Address, clues: Sequence[Interval]) -> tuple[Interval, ...]:
    """What a segment holds of the clues, relative to its begin: equal for segments that symmetry can swap."""
    start, stop = grid.interval(path)
    parts = ((max(begin, start) - start, min(end, stop) - start) for begin, end in clues)
    return tuple(sorted((round(begin, 6), round(end, 6)) for begin, end in parts if end > begin))


class Trajectories:
    """All episodes on a grid, one of each kind under the symmetries that fix the clues."""

    def __init__(self, grid: TimeGrid, clues: Sequence[Interval]) -> None:
        self.grid = grid
        self.inside = {path: clue_inside(grid, path, clues) for path in grid.paths()}

    def moves(self, visits: tuple[Visit, ...]) -> Iterator[Visit]:
        opened = {visit.path for visit in visits}
        touched = {path[:level] for path in opened for level in range(1, len(path) + 1)}

        def below(parent: Address) -> Iterator[Address]:
            fresh: set[tuple[Interval, ...]] = set()
            for child in range(1, self.grid.width + 1):
                path = (*parent, child)
                if path not in touched:
                    if self.inside[path] in fresh:
                        continue
                    fresh.add(self.inside[path])
                yield path
                if len(path) < self.grid.depth:
                    yield from below(path)

        for path in below(()):
            yield Visit(GET_CAPTION, path)
        for path in sorted(opened):
            if self.grid.is_leaf(path):
                yield Visit(VIDEO_QA, path, "what?")

    def up_to(self, length: int, visits: tuple[Visit, ...] = ()) -> Iterator[tuple[Visit, ...]]:
        yield visits
        if length:
            for move in self.moves(visits):
                yield from self.up_to(length - 1, (*visits, move))


def ask(grid: TimeGrid, clues: Sequence[Interval]) -> Question:
    return Question("q", "v", "?", ("x", "y"), "B", tuple(clues), grid.duration)


def total(
    mix: RewardMix, grid: TimeGrid, question: Question, visits: Sequence[Visit], lookups: Sequence[Lookup] = ()
) -> float:
    value = mix.score(question, grid, visits, Status.ANSWERED, "B", 0, lookups=lookups).total
    assert value is not None
    return value


LOOKUPS = (
    Lookup(SEARCH, "red cup"),
    Lookup(SEARCH, "blue hat"),
    Lookup(SEARCH, "cups, red", (2,)),
    Lookup(JUMP, "0:42"),
)


def looked_up(count: int) -> list[tuple[Lookup, ...]]:
    """Every choice of so many lookups, repeats included; their order and their place among visits change no sum."""
    return list(combinations_with_replacement(LOOKUPS, count))


def with_lookups(grid: TimeGrid, clues: Sequence[Interval], actions: int) -> Iterator[tuple]:
    """Every kind of episode of up to so many visits and lookups together."""
    choices = [looked_up(count) for count in range(actions + 1)]
    for visits in Trajectories(grid, clues).up_to(actions):
        for count in range(actions - len(visits) + 1):
            for lookups in choices[count]:
                yield visits, lookups


def captions(*paths: Address) -> tuple[Visit, ...]:
    return tuple(Visit(GET_CAPTION, path) for path in paths)


def leaves_of(grid: TimeGrid, paths: Sequence[Address]) -> set[Address]:
    return {leaf for leaf in grid.paths(grid.depth) for path in paths if leaf[: len(path)] == path}


def is_coarse_to_fine(visits: Sequence[Visit], right: set[Address]) -> bool:
    """Only captions; every visit holds a leaf that is needed, and none comes after itself or what it holds."""
    paths = [visit.path for visit in visits]
    return all(visit.tool == GET_CAPTION for visit in visits) and all(
        any(leaf[: len(path)] == path for leaf in right)
        and not any(earlier[: len(path)] == path for earlier in paths[:position])
        for position, path in enumerate(paths)
    )


STEERED = {"visit_cost": {"target": 3.0, "weight": 0.05}}
"""The steered config at the largest weight it can reach."""

MIXES = {
    "navigation_f1": {},
    "navigation_f1, steered": STEERED,
    "interval_f1": {"grounding": {"measure": "interval_f1"}},
    "interval_f1, steered": {"grounding": {"measure": "interval_f1"}, **STEERED},
}

Case = tuple[list[tuple[Address, float, float]], list[Address], list[str]]
NAVIGATION, INTERVAL = list(MIXES)[:2], list(MIXES)[2:]

# name: (segments with the share of each that is clue, the shortest right episode, the configs it is shortest for)
CASES: dict[str, Case] = {
    "one leaf": ([((2, 2, 2), 0, 1)], [(2, 2, 2)], list(MIXES)),
    "inside one leaf": ([((3, 1, 2), 0.3, 0.5)], [(3, 1, 2)], list(MIXES)),
    "two leaves of one segment": ([((1, 2, 1), 0, 1), ((1, 2, 3), 0, 1)], [(1, 2, 1), (1, 2, 3)], list(MIXES)),
    "two leaves far apart": ([((1, 1, 1), 0, 1), ((3, 2, 2), 0, 1)], [(1, 1, 1), (3, 2, 2)], list(MIXES)),
    "a leaf and a sliver": ([((1, 1, 3), 0, 1), ((1, 2, 1), 0, 0.01)], [(1, 1, 3), (1, 2, 1)], NAVIGATION),
    "three leaves": (
        [((1, 1, 1), 0, 1), ((2, 3, 2), 0, 1), ((2, 1, 1), 0, 1)],
        [(1, 1, 1), (2, 3, 2), (2, 1, 1)],
        list(MIXES),
    ),
    "a whole segment, read finely": ([((2, 1), 0, 1)], [(2, 1, 1), (2, 1, 2), (2, 1, 3)], NAVIGATION),
    "a whole segment, opened once": ([((2, 1), 0, 1)], [(2, 1)], INTERVAL),
    "five leaves": (
        [((2, 1), 0, 1), ((3, 1, 1), 0, 1), ((3, 3, 3), 0, 1)],
        [(2, 1, 1), (2, 1, 2), (2, 1, 3), (3, 1, 1), (3, 3, 3)],
        ["navigation_f1"],
    ),
}  # fmt: skip


def clues_of(grid: TimeGrid, parts: Sequence[tuple[Address, float, float]]) -> list[Interval]:
    clues = []
    for path, low, high in parts:
        start, stop = grid.interval(path)
        clues.append((start + low * (stop - start), start + high * (stop - start)))
    return clues


def check(case: str, length: int) -> int:
    """Scores every kind of episode; returns how many there were."""
    parts, shortest, names = CASES[case]
    grid = small_grid(3, 3)
    clues = clues_of(grid, parts)
    question = ask(grid, clues)
    mixes = [RewardMix.from_config(MIXES[name]) for name in names]
    best = [total(mix, grid, question, captions(*shortest)) for mix in mixes]
    needed = leaves_of(grid, shortest)
    count = 0
    for visits in Trajectories(grid, clues).up_to(length):
        count += 1
        for mix, most in zip(mixes, best, strict=True):
            value = total(mix, grid, question, visits)
            assert value <= most + 1e-9, (visits, value, most)
            if value >= most - 1e-9:
                assert needed <= leaves_of(grid, [visit.path for visit in visits]), visits
                assert is_coarse_to_fine(visits, needed), visits
                assert len(visits) >= len(shortest)
    return count


@pytest.mark.parametrize("case", CASES)
def test_no_episode_totals_more_than_the_shortest_right_one(case: str) -> None:
    assert check(case, length=3) > 1_000


def test_no_episode_of_five_visits_totals_more_than_the_right_leaf() -> None:
    parts, shortest, _ = CASES["one leaf"]
    grid = small_grid(3, 3)
    question = ask(grid, clues_of(grid, parts))
    mix = RewardMix.from_config()
    most = total(mix, grid, question, captions(*shortest))
    values = [total(mix, grid, question, visits) for visits in Trajectories(grid, question.clue_intervals).up_to(5)]
    assert len(values) > 400_000
    assert max(values) <= most + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_no_episode_of_five_visits_totals_more_than_the_shortest_right_one(case: str) -> None:
    assert check(case, length=5) > 300_000


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("name", MIXES)
def test_symmetry_loses_no_total(width: int, name: str) -> None:
    grid = small_grid(width, 2)
    question = ask(grid, [grid.interval((2, 1))])
    mix = RewardMix.from_config(MIXES[name])
    moves = captions(*grid.paths())
    every = {
        round(total(mix, grid, question, visits), 9) for length in range(5) for visits in product(moves, repeat=length)
    }
    some = {
        round(total(mix, grid, question, visits), 9)
        for visits in Trajectories(grid, question.clue_intervals).up_to(4)
        if all(visit.tool == GET_CAPTION for visit in visits)
    }
    assert some == every


def test_every_depth_and_width_up_to_three() -> None:
    for width, depth in ((2, 1), (2, 2), (2, 3), (3, 1), (3, 2)):
        grid = small_grid(width, depth)
        for leaf in list(grid.paths(depth))[:: width**depth - 1]:
            question = ask(grid, [grid.interval(leaf)])
            for config in MIXES.values():
                mix = RewardMix.from_config(config)
                most = total(mix, grid, question, captions(leaf))
                for visits in Trajectories(grid, question.clue_intervals).up_to(4):
                    value = total(mix, grid, question, visits)
                    assert value <= most + 1e-9
                    assert value < most - 1e-9 or is_coarse_to_fine(visits, {leaf})


def test_every_shipped_config_prefers_the_shortest_right_episode() -> None:
    """The reproduction of the official score aside, and whatever else a config switches off."""
    grid = small_grid(3, 3)
    question = ask(grid, [grid.interval((2, 2, 2))])
    for file in sorted((Path(__file__).resolve().parents[2] / "configs").rglob("*.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        config = values.get("reward") if isinstance(values, dict) else None
        if config is None or (config.get("grounding") or {}).get("measure") == "official":
            continue
        mix = RewardMix.from_config(config)
        most = total(mix, grid, question, captions((2, 2, 2)))
        for visits in Trajectories(grid, question.clue_intervals).up_to(3):
            assert total(mix, grid, question, visits) <= most + 1e-9, file


def test_the_official_score_is_best_for_repeating() -> None:
    parts, shortest, _ = CASES["one leaf"]
    grid = small_grid(3, 3)
    question = ask(grid, clues_of(grid, parts))
    mix = RewardMix.from_config({"grounding": {"measure": "official"}, "visit_cost": None})
    best = max(
        Trajectories(grid, question.clue_intervals).up_to(3), key=lambda visits: total(mix, grid, question, visits)
    )
    assert best == captions(*shortest * 3)
    assert total(mix, grid, question, best) > total(mix, grid, question, captions(*shortest)) + 1


def presets() -> dict[str, dict]:
    """The reward of every shipped config, each once; the reproduction of the official score aside."""
    found: dict[str, dict] = {"the default": {}, **MIXES}
    for file in sorted((Path(__file__).resolve().parents[2] / "configs").rglob("*.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        config = values.get("reward") if isinstance(values, dict) else None
        if config and (config.get("grounding") or {}).get("measure") != "official" and config not in found.values():
            found[file.stem] = config
    return found


def check_lookups(actions: int) -> int:
    grid = small_grid(3, 3)
    question = ask(grid, [grid.interval((2, 2, 2))])
    mixes = [RewardMix.from_config(config) for config in presets().values()]
    best = [total(mix, grid, question, captions((2, 2, 2))) for mix in mixes]
    count = 0
    for visits, lookups in with_lookups(grid, question.clue_intervals, actions):
        count += 1
        for mix, most in zip(mixes, best, strict=True):
            assert total(mix, grid, question, visits, lookups) <= most + 1e-9, (visits, lookups)
    return count


def test_no_episode_with_lookups_totals_more_than_the_right_leaf() -> None:
    assert check_lookups(3) > 2_000


@pytest.mark.slow
def test_no_episode_of_five_actions_with_lookups_totals_more_than_the_right_leaf() -> None:
    assert check_lookups(5) > 500_000


def test_a_lookup_never_raises_a_total_and_a_repeat_lowers_it() -> None:
    grid = small_grid(2, 2)
    question = ask(grid, [grid.interval((2, 1))])
    for config in presets().values():
        mix = RewardMix.from_config(config)
        for visits, lookups in with_lookups(grid, question.clue_intervals, 3):
            value = total(mix, grid, question, visits, lookups)
            assert value <= total(mix, grid, question, visits) + 1e-9
            assert {total(mix, grid, question, visits, order) for order in permutations(lookups)} == {value}
            if "visit_cost" in mix.parts and lookups and len(visits) < 3:
                assert total(mix, grid, question, visits, (*lookups, lookups[0])) < value - 1e-9


def test_a_snippet_earns_no_grounding() -> None:
    grid = small_grid(3, 3)
    question = ask(grid, [grid.interval((2, 2, 2))])
    for measure in ("navigation_f1", "interval_f1", "official"):
        mix = RewardMix.from_config({"grounding": {"measure": measure}})
        for visits in ((), captions((2, 2, 2)), captions((1,), (2, 2))):
            plain, looked = (
                mix.score(question, grid, visits, Status.ANSWERED, "B", 0, lookups=lookups) for lookups in ((), LOOKUPS)
            )
            assert plain.parts["grounding"] == looked.parts["grounding"]
            assert looked.tally.cost == plain.tally.cost + 3.5


def test_the_same_words_in_another_order_or_form_are_a_repeat() -> None:
    grid = small_grid(3, 3)
    question = ask(grid, [grid.interval((2, 2, 2))])
    mix = RewardMix.from_config()

    def wasted(*lookups: Lookup) -> int:
        return mix.score(question, grid, (), Status.ANSWERED, "B", 0, lookups=lookups).tally.wasted

    assert wasted(Lookup(SEARCH, "the red cups"), Lookup(SEARCH, "CUP, red")) == 1
    assert wasted(Lookup(SEARCH, "red cup"), Lookup(SEARCH, "red cup", (2,))) == 0
    assert wasted(Lookup(SEARCH, "red cup"), Lookup(SEARCH, "red hat"), Lookup(JUMP, "1:00"), Lookup(JUMP, "2:00")) == 0
    assert wasted(Lookup(JUMP, "1:00"), Lookup(JUMP, "1:00")) == 1
    assert wasted(Lookup(JUMP, "1:00"), Lookup(JUMP, "60"), Lookup(JUMP, "60.4"), Lookup(JUMP, "1m")) == 3
