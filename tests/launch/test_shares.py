"""One rank at a time, as a scheduler's array starts them, makes what one run makes."""

import asyncio
from dataclasses import replace

import pytest

from data_gen.captions import caption_videos
from data_gen.captions.stage import caption_share, check
from data_gen.teacher import TeacherJob, TeacherSettings, collect, teach_questions
from data_gen.teacher.stage import teach_share
from navigation import InputError
from runtime import EndpointSettings


def trees(out):
    return {path.name: path.read_bytes() for path in out.glob("*.json")}


async def test_caption_ranks_at_once_make_the_trees_of_one_run(stubs, caption_job, tmp_path):
    server, address = await stubs()
    whole = caption_job(address, tmp_path / "whole")
    await asyncio.to_thread(caption_videos, whole, quiet=True)
    asked = server.stats["requests"]
    job = caption_job(address)
    shares = [asyncio.to_thread(caption_share, job, rank, 2, True) for rank in range(2)]
    reports = await asyncio.gather(*shares)
    assert [len(report.videos) for report in reports] == [2, 1]
    assert all(report.complete for report in reports)
    assert check(job).complete
    assert trees(job.out) == trees(whole.out)
    assert server.stats["requests"] == 2 * asked


async def test_a_missing_share_is_missing(stubs, caption_job):
    _, address = await stubs()
    job = caption_job(address)
    assert (await asyncio.to_thread(caption_share, job, 1, 2, True)).complete
    report = check(job)
    assert not report.complete
    assert sorted(video.state for video in report.videos) == ["complete", "incomplete", "incomplete"]


@pytest.mark.parametrize(("rank", "tasks"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_not_there_is_refused(caption_job, rank, tasks):
    with pytest.raises(InputError, match="rank"):
        caption_share(caption_job("http://127.0.0.1:9/v1"), rank, tasks)


async def test_teacher_ranks_make_the_episodes_of_one_run(stubs, corpus, tmp_path):
    server, address = await stubs(corpus)
    settings = TeacherSettings("stub", temperature=0.0)
    job = TeacherJob(corpus, settings, EndpointSettings(address, "stub", 4, 8, 5.0), tasks=3)
    for rank in (2, 0, 1):
        assert (await asyncio.to_thread(teach_share, job, rank, True)).complete
    report = await asyncio.to_thread(collect, job)
    assert report.complete
    shares = (corpus / "trajectories.jsonl").read_bytes()
    asked = server.stats["requests"]
    again = replace(job, out=tmp_path / "again")
    again.out.mkdir()
    (again.out / "questions.jsonl").write_bytes((corpus / "questions.jsonl").read_bytes())
    (again.out / "trees").symlink_to(corpus / "trees")
    await asyncio.to_thread(teach_questions, replace(again, tasks=1), quiet=True)
    assert (again.out / "trajectories.jsonl").read_bytes() == shares
    assert server.stats["requests"] == 2 * asked
    with pytest.raises(InputError, match="rank"):
        teach_share(job, 3)
