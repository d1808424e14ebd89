"""Trajectories that needed hints, from a teacher that sometimes gives them away: what the leak filter does to real
ones."""

import asyncio

from benchmarks.teacher_server import Manners
from data_gen.filters import FilterReport, FilterSettings, filter_trajectories
from data_gen.teacher import read_trajectories
from runtime.ranked_run import run_ranks


async def test_episodes_that_tell_of_their_hint_are_dropped_and_the_others_kept(world):
    async with world.served(Manners(wrong=0.7, hints_needed=2, telling=0.5)) as (_, url):
        await asyncio.to_thread(run_ranks, world.job(url, samples=2), quiet=True)
    trajectories = list(read_trajectories(world.folder / "trajectories.jsonl"))
    told = {
        trajectory.id
        for trajectory in trajectories
        if any("The hint says" in (m.get("reasoning_content") or "") for m in trajectory.messages)
    }
    hinted = {trajectory.id for trajectory in trajectories if trajectory.teacher["hints"]}
    assert told < hinted < {trajectory.id for trajectory in trajectories}
    assert told
    questions = {question.id: question for question in world.questions}
    settings = FilterSettings(near_duplicates=None)
    report = FilterReport()
    kept = {trajectory.id for trajectory in filter_trajectories(trajectories, questions, world.trees, settings, report)}
    assert kept == {trajectory.id for trajectory in trajectories} - told
    assert report.dropped == {"leak_hint": len(told), "not_chosen": 0}
    unfiltered = filter_trajectories(
        trajectories, questions, world.trees, FilterSettings(near_duplicates=None, leaks=False)
    )
    assert len(list(unfiltered)) == len(trajectories)
