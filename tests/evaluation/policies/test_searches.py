"""The search strategies: where they look first, how they go back, when they stop, and what they need."""

import dataclasses
from itertools import pairwise

import pytest

from benchmarks.strategies import grown_questions, grown_tree
from evaluation.policies import RULES, make_policy
from evaluation.policies.judge import LexicalJudge
from evaluation.policies.notes import Note
from evaluation.policies.reader import Verdict
from evaluation.policies.retrieval import EmbeddingIndex
from navigation import DEFAULT_TOOLS, SEARCH, EnvironmentFactory, InputError, Limits, Status, Task, TreeStore, run

SEARCHES = ("best_first", "coarse_to_fine", "spotlight", "consensus", "search_read", "hierarchy_search")


class Doubting(LexicalJudge):
    """Never sure of anything: a strategy then uses up its visits."""

    async def verdict(self, task, notes):
        return dataclasses.replace(await super().verdict(task, notes), confidence=0.0)


@pytest.fixture
def world(tmp_path):
    """A generated video of 20 minutes: 4 levels of width 4, and three questions whose way is told."""
    tree = grown_tree(20, 0)
    store = TreeStore(tmp_path / "grown")
    store.save(tree)
    return tree, store, list(grown_questions(tree, 3))


async def play(name, store, questions, **options):
    policy = make_policy(name, store, questions, **options)
    environment = EnvironmentFactory(store, tools=(*DEFAULT_TOOLS, *policy.needed_tools))()
    return [await run(policy, environment, question, Limits(turns=80)) for question in questions]


@pytest.mark.parametrize("name", RULES)
async def test_every_rule_answers_and_opens_nothing_twice(name, world):
    _, store, questions = world
    for trajectory in await play(name, store, questions):
        assert trajectory.status is Status.ANSWERED
        assert trajectory.refused == 0
        assert len({visit.path for visit in trajectory.visits}) == len(trajectory.visits)


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("visits", [0, 1, 5])
async def test_the_ceiling_on_visits_holds(name, visits, world):
    _, store, questions = world
    for trajectory in await play(name, store, questions, visits=visits, judge=Doubting()):
        assert trajectory.status is Status.ANSWERED
        assert len(trajectory.visits) <= visits


@pytest.mark.parametrize("name", ["best_first", "coarse_to_fine", "spotlight"])
async def test_a_doubting_mind_opens_the_whole_tree_and_then_answers(name, trees, factory, questions):
    (trajectory,) = await play(name, trees, questions[:1], visits=100, judge=Doubting())
    assert trajectory.status is Status.ANSWERED
    grid = trees["v0"].grid
    assert {visit.path for visit in trajectory.visits} == {path for path in grid.paths() if len(path) > 1}


async def test_coarse_to_fine_descends_level_by_level_and_goes_back_only_from_a_leaf(world):
    tree, store, questions = world
    for trajectory in await play("coarse_to_fine", store, questions, visits=12, judge=Doubting()):
        opened = [visit.path for visit in trajectory.visits]
        for before, after in pairwise(opened):
            assert after[:-1] == before if len(before) < tree.grid.depth else True
        assert len(opened[0]) == 2


async def test_a_search_finds_the_leaf_whose_way_is_told_in_few_visits(world):
    tree, store, questions = world
    for name in ("best_first", "coarse_to_fine", "spotlight"):
        episodes = await play(name, store, questions, visits=40, judge=Doubting())
        for question, trajectory in zip(questions, episodes, strict=True):
            leaf = tree.grid.path_at(sum(question.clue_intervals[0]) / 2)
            opened = [visit.path for visit in trajectory.visits]
            # Of 340 segments; a fifth of the parts is left out of the captions.
            assert opened.index(leaf) < 20, name


async def test_best_first_stays_near_when_moving_is_dear(world):
    def way(paths):
        return sum(len(a) + len(b) - 2 * _shared(a, b) for a, b in pairwise(paths))

    _, store, questions = world
    near = await play("best_first", store, questions, visits=16, movement=5.0, judge=Doubting())
    far = await play("best_first", store, questions, visits=16, movement=0.0, judge=Doubting())
    for one, other in zip(near, far, strict=True):
        assert way([v.path for v in one.visits]) <= way([v.path for v in other.visits])


def _shared(a, b):
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


async def test_spotlight_opens_parts_of_one_event_a_turn(world):
    _, store, questions = world
    for trajectory in await play("spotlight", store, questions, visits=9, beam=3, judge=Doubting()):
        turns = [message["tool_calls"] for message in trajectory.messages if message.get("tool_calls")]
        for calls in turns:
            paths = [call["function"]["arguments"]["segment"] for call in calls]
            assert len(paths) <= 3
            assert len({tuple(path[:-1]) for path in paths}) == 1


async def test_consensus_opens_leaves_and_needs_all_of_them_captioned(world):
    tree, store, questions = world
    assert make_policy("consensus", store, questions).index_captions(tree.video_id) == 4**4
    for trajectory in await play("consensus", store, questions):
        assert all(tree.grid.is_leaf(visit.path) for visit in trajectory.visits)


@pytest.mark.parametrize("name", SEARCHES)
async def test_concurrent_episodes_do_not_mix(name, world):
    _, store, questions = world
    first = await play(name, store, questions)
    backwards = await play(name, store, questions[::-1])
    assert [each.messages for each in first] == [each.messages for each in backwards[::-1]]


async def test_the_promise_of_a_part_follows_the_order_of_what_is_told(make_tree, questions):
    tree = make_tree("v0")
    question = dataclasses.replace(questions[0], question="When are roses planted?").public
    task = Task(question, tree.grid, (), ())
    note = Note((1,), 0.0, 90.0, "Someone chops onions. Soup is stirred. Someone plants roses.")
    ((first, middle, last),) = await LexicalJudge().promise(task, [note])
    assert last > middle > first > 0


def test_a_verdict_cites_where_it_found_its_option():
    message = Verdict("B", 0.5, "seen", ((3.0, 4.5),)).message()
    assert message["content"] == "<evidence>3.000-4.500</evidence><answer>B</answer>"


def test_an_embedding_index_ranks_by_similarity(make_tree):
    import numpy as np

    def encode(texts):
        return np.array([[text.count("onions"), text.count("soup"), 1.0] for text in texts])

    index = EmbeddingIndex(make_tree("v0"), encode)
    assert index.size == 27
    assert index.search("onions onions onions", 3) == [(1, 1, 1), (1, 1, 2), (1, 1, 3)]


def test_an_embedder_that_is_not_installed_names_the_package(trees, questions, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    policy = make_policy("retrieval", trees, questions, embedder="some/model")
    with pytest.raises(InputError) as error:
        policy.index_captions("v0")
    assert (error.value.field, error.value.value) == ("embedder", "some/model")
    assert "pip install sentence-transformers" in error.value.hint


@pytest.mark.parametrize("name", ["search_read", "hierarchy_search"])
async def test_a_policy_that_searches_finds_the_leaf_and_pays_for_it(name, world):
    tree, store, questions = world
    policy = make_policy(name, store, questions, visits=8)
    assert policy.needed_tools == (SEARCH,)
    for question, trajectory in zip(questions, await play(name, store, questions, visits=8), strict=True):
        leaf = tree.grid.path_at(sum(question.clue_intervals[0]) / 2)
        assert leaf in [visit.path for visit in trajectory.visits]
        assert 1 <= len(trajectory.lookups) <= policy.searches


async def test_search_read_changes_its_words_when_nothing_is_left_to_read(world):
    _, store, questions = world
    for trajectory in await play("search_read", store, questions, visits=40, searches=4, judge=Doubting()):
        assert len({lookup.query for lookup in trajectory.lookups}) == len(trajectory.lookups) > 1


async def test_hierarchy_search_looks_inside_what_it_found(world):
    tree, store, questions = world
    for trajectory in await play("hierarchy_search", store, questions, visits=12, judge=Doubting()):
        first, *inside = trajectory.lookups
        assert first.within == ()
        assert inside
        assert all(len(lookup.within) == tree.grid.depth - 1 for lookup in inside)
