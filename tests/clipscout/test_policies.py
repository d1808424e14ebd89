"""The rule that navigates without a model."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipscout.ask.policies import DescentPolicy
from navigation import CaptionTree, EnvironmentFactory, Limits, Question, Status, TimeGrid, TreeStore, run
from tests.clipscout.world import house_questions, house_tree


async def play(tree, question, folder, **options):
    trees = TreeStore(folder)
    trees.save(tree)
    return await run(DescentPolicy(**options), EnvironmentFactory(trees)(), question, Limits(turns=20))


async def test_it_goes_down_to_the_leaves_that_fit(tmp_path):
    for question in house_questions():
        episode = await play(house_tree(), question, tmp_path)
        assert episode.correct, question.question
        clue = question.clue_intervals[0]
        leaves = {visit.path for visit in episode.visits if len(visit.path) == 3}
        assert leaves >= set(house_tree().grid.overlapping(*clue))
        assert episode.visits[-1].tool == "video_qa"
        assert len(episode.visits) <= 3 * 3 + 1


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1000), width=st.integers(2, 5), depth=st.integers(1, 4))
async def test_it_ends_opens_nothing_twice_and_is_never_refused(seed, width, depth, tmp_path_factory):
    grid = TimeGrid(100.0, width, depth)
    captions = {path: f"word{(seed * 31 + sum(path) * 7) % 11} in {path[-1]}" for path in grid.paths()}
    question = Question("q", "v", f"where is word{seed % 11}?", ("word1", "word2"), "A", (), 100.0)
    episode = await play(CaptionTree("v", grid, captions), question, tmp_path_factory.mktemp("trees"), seed=seed)
    opened = [(visit.tool, visit.path) for visit in episode.visits]
    assert (episode.status, episode.refused) == (Status.ANSWERED, 0 if depth > 1 else episode.refused)
    assert len(set(opened)) == len(opened)
    assert len(opened) <= width * depth + 1


@pytest.mark.parametrize("expansions", [0, 1, 2])
async def test_expansions_bound_what_is_opened(expansions, tmp_path):
    episode = await play(house_tree(), house_questions()[0], tmp_path, expansions=expansions)
    assert sum(visit.tool == "get_caption" for visit in episode.visits) <= 3 * expansions
