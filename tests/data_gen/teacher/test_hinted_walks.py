"""Walks that needed hints, from a teacher that sometimes gives them away: what the leak filter does to real ones."""

import asyncio

from data_gen.filters import FilterReport, FilterSettings, filter_walks
from data_gen.teacher import read_trajectories, teach_questions
from data_gen.teacher.stub import Manners


async def test_walks_that_tell_of_their_hint_are_dropped_and_the_others_kept(world):
    async with world.served(Manners(wrong=0.7, hints_needed=2, telling=0.5)) as (_, url):
        await asyncio.to_thread(teach_questions, world.job(url, samples=2), quiet=True)
    walks = list(read_trajectories(world.folder / "trajectories.jsonl"))
    told = {
        walk.id for walk in walks if any("The hint says" in (m.get("reasoning_content") or "") for m in walk.messages)
    }
    hinted = {walk.id for walk in walks if walk.teacher["hints"]}
    assert told < hinted < {walk.id for walk in walks}
    assert told
    questions = {question.id: question for question in world.questions}
    settings = FilterSettings(near_duplicates=None)
    report = FilterReport()
    kept = {walk.id for walk in filter_walks(walks, questions, world.trees, settings, report)}
    assert kept == {walk.id for walk in walks} - told
    assert report.dropped == {"leak_hint": len(told), "not_chosen": 0}
    unfiltered = filter_walks(walks, questions, world.trees, FilterSettings(near_duplicates=None, leaks=False))
    assert len(list(unfiltered)) == len(walks)
