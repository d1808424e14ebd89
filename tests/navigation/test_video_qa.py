from hypothesis import given, settings
from hypothesis import strategies as st

from navigation import CaptionTree, Line, LineAnswerer, TimeGrid
from navigation.tools import rank

TEXTS = ["a man opens a door", "the dog runs", "a woman cooks rice", "the door closes"]
GRID = TimeGrid(20.0, 2, 1)


def test_the_best_match_comes_first():
    assert rank("who cooks?", TEXTS)[0] == 2
    assert set(rank("the door", TEXTS)[:2]) == {0, 3}


def test_without_a_match_the_order_of_time_stays():
    assert rank("zebra", TEXTS) == rank("", TEXTS) == rank("?!", TEXTS) == [0, 1, 2, 3]


@settings(deadline=None)
@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=6))
def test_ranking_is_a_permutation(query, texts):
    assert sorted(rank(query, texts)) == list(range(len(texts)))


def test_only_the_lines_of_the_leaf_answer():
    lines = (*(Line(index, index + 1, text) for index, text in enumerate(TEXTS)), Line(15.0, 16.0, "a red car"))
    tree = CaptionTree("v", GRID, {(1,): "people at home", (2,): "a street"}, lines=lines)
    assert LineAnswerer().answer(tree, (2,), "who cooks?") == "a red car"
    assert LineAnswerer(count=1).answer(tree, (1,), "who cooks?") == "a woman cooks rice"
    assert len(LineAnswerer().answer(tree, (1,), "who cooks?").splitlines()) == 3


def test_a_leaf_without_lines_answers_with_its_caption():
    tree = CaptionTree("v", GRID, {(1,): "people at home"})
    assert LineAnswerer().answer(tree, (1,), "who?") == "people at home"
    assert LineAnswerer().answer(tree, (2,), "who?") == "Nothing is known about this clip."
