"""One rank at a time, as a scheduler's array starts them, makes what one run makes."""

import asyncio
from dataclasses import replace

import pytest

from data_gen.teacher import TeacherJob, TeacherSettings
from navigation import InputError
from runtime import EndpointSettings
from runtime.ranked_run import collect_run, run_ranks, run_share


def trees(out):
    return {path.name: path.read_bytes() for path in out.glob("*.json")}


async def test_caption_ranks_at_once_make_the_trees_of_one_run(stubs, caption_job, tmp_path):
    server, address = await stubs()
    whole = caption_job(address, tmp_path / "whole")
    await asyncio.to_thread(run_ranks, whole, quiet=True)
    asked = server.stats["requests"]
    job = replace(caption_job(address), tasks=2)
    shares = [asyncio.to_thread(run_share, job, rank, True) for rank in range(2)]
    reports = await asyncio.gather(*shares)
    assert [len(report.videos) for report in reports] == [2, 1]
    assert all(report.complete for report in reports)
    assert collect_run(job).complete
    assert trees(job.out) == trees(whole.out)
    assert server.stats["requests"] == 2 * asked


async def test_a_missing_share_is_missing(stubs, caption_job):
    _, address = await stubs()
    job = replace(caption_job(address), tasks=2)
    assert (await asyncio.to_thread(run_share, job, 1, True)).complete
    report = collect_run(job)
    assert not report.complete
    assert sorted(video.state for video in report.videos) == ["complete", "incomplete", "incomplete"]


@pytest.mark.parametrize(("rank", "tasks"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_not_there_is_refused(caption_job, rank, tasks):
    with pytest.raises(InputError) as error:
        run_share(replace(caption_job("http://127.0.0.1:9/v1"), tasks=tasks), rank)
    assert (error.value.field, error.value.value) == ("rank", rank)


async def test_teacher_ranks_make_the_episodes_of_one_run(stubs, corpus, tmp_path):
    server, address = await stubs(corpus)
    settings = TeacherSettings("stub", temperature=0.0)
    job = TeacherJob(corpus, settings, EndpointSettings(address, "stub", 4, 8, 5.0), tasks=3)
    for rank in (2, 0, 1):
        assert (await asyncio.to_thread(run_share, job, rank, True)).complete
    report = await asyncio.to_thread(collect_run, job)
    assert report.complete
    shares = (corpus / "trajectories.jsonl").read_bytes()
    asked = server.stats["requests"]
    again = replace(job, out=tmp_path / "again")
    again.out.mkdir()
    (again.out / "questions.jsonl").write_bytes((corpus / "questions.jsonl").read_bytes())
    (again.out / "trees").symlink_to(corpus / "trees")
    await asyncio.to_thread(run_ranks, replace(again, tasks=1), quiet=True)
    assert (again.out / "trajectories.jsonl").read_bytes() == shares
    assert server.stats["requests"] == 2 * asked
    with pytest.raises(InputError) as error:
        run_share(job, 3)
    assert (error.value.field, error.value.value) == ("rank", 3)
