"""The generated world: nothing in it may be answered without looking, and nothing may be learnt by heart."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_gen.corpora.small_world import COLOURS, GRID, QUESTIONS_PER_VIDEO, TEXTS, VIDEOS, load
from navigation import InputError
from navigation.question import held_out


@pytest.fixture(scope="module")
def world():
    return load(seed=5)


def within_chance(count, total, share):
    """Whether a count lies within 4.5 standard deviations of its expectation."""
    return abs(count - total * share) <= 4.5 * (total * share * (1 - share)) ** 0.5


def order(tree):
    return tuple(tree.captions[path].split()[0] for path in GRID.paths(1))


def test_no_two_videos_share_an_order_of_places(world):
    orders = Counter(order(tree) for tree in world.trees)
    assert (len(orders), orders.most_common(1)[0][1]) == (VIDEOS, 1)
    assert all(len(set(places)) == 4 for places in orders)


def test_held_out_videos_are_others_with_other_orders(world):
    sides = {True: set(), False: set()}
    for tree in world.trees:
        sides[held_out(tree.video_id, 0.1)].add(order(tree))
    assert sides[True].isdisjoint(sides[False])
    assert within_chance(len(sides[True]), VIDEOS, 0.1)
    assert len(sides[True]) + len(sides[False]) == VIDEOS


def test_kinds_and_right_letters_are_as_frequent_as_each_other(world):
    total = len(world.questions)
    assert total == VIDEOS * QUESTIONS_PER_VIDEO
    kinds, letters = (Counter(getattr(q, name) for q in world.questions) for name in ("kind", "answer"))
    assert set(kinds) == set(TEXTS)
    assert set(letters) == set("ABCD")
    # A question that was asked already is drawn again, and there are more of some kinds than of others: a little slack.
    assert all(abs(count / total - 1 / 3) < 0.03 for count in kinds.values())
    assert all(within_chance(count, total, 1 / 4) for count in letters.values())
    colours = Counter(q.options["ABCD".index(q.answer)] for q in world.questions)
    assert all(within_chance(colours[colour], total, 1 / len(COLOURS)) for colour in COLOURS)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_clue_holds_the_right_option_and_no_other(seed, videos):
    corpus = load(seed=seed, videos=videos)
    trees = {tree.video_id: tree for tree in corpus.trees}
    assert len(trees) == videos
    for question in corpus.questions:
        ((start, end),) = question.clue_intervals
        leaf = GRID.path_at((start + end) / 2)
        assert GRID.interval(leaf) == (start, end)
        told = trees[question.video_id].captions[leaf].split()
        assert len(set(question.options)) == 4
        assert [option in told for option in question.options] == [letter == question.answer for letter in "ABCD"]
        assert not set(question.options) & set(question.question.split())


def test_the_same_seed_is_the_same_world_and_another_is_another():
    one, same, other = (load(seed=seed, videos=3).questions for seed in (1, 1, 2))
    assert one == same
    assert {q.video_id for q in one}.isdisjoint(q.video_id for q in other)
    with pytest.raises(InputError) as error:
        load(videos=8 * 7 * 6 * 5 + 1)
    assert error.value.field == "videos"
