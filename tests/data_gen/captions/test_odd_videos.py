"""Odd videos through a whole run and on demand: the same captions, and what was odd stands in report and tree."""

import asyncio
from dataclasses import replace

from clipscout.ask.settings import AskSettings
from clipscout.ask.video_source import open_source
from data_gen.captions import EndpointCaptioner, LinesCaptioner, OnDemandCaptions
from navigation import TreeStore
from runtime import Endpoint
from runtime.ranked_run import run_ranks
from tests.data_gen.frames.recut_videos import behind_its_keyframe, joined, numbered
from tests.data_gen.frames.test_recut_videos import write_sound

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello\n\n2\n00:00:12,000 --> 00:00:16,000\nBye\n"


async def run(job):
    return await asyncio.to_thread(run_ranks, job, quiet=True)


async def test_a_clock_that_begins_again_stands_in_report_and_tree(stubs, job_for, tmp_path):
    (tmp_path / "videos").mkdir()
    parts = [numbered(tmp_path / f"{place}.ts", 200) for place in range(2)]
    joined(tmp_path / "videos" / "a.ts", *parts)
    _, address = await stubs()
    job = job_for(address, videos=tmp_path / "videos")
    report = await run(job)
    tree = TreeStore(job.out)["a"]
    assert report.complete
    assert 15.5 < tree.grid.duration < 16.5
    (warnings,) = [video.warnings for video in report.videos]
    assert any(warning.startswith("time stamps begin again") for warning in warnings)
    assert tree.made_by["warnings"] == warnings
    assert [video.warnings for video in (await run(job)).videos] == [warnings]


async def test_what_begins_inside_a_group_is_captioned_on_demand_as_in_a_whole_run(stubs, job_for, tmp_path):
    (tmp_path / "videos").mkdir()
    video = behind_its_keyframe(numbered(tmp_path / "a.ts", 300), tmp_path / "videos" / "a.ts", 20)
    _, address = await stubs()
    job = job_for(address, videos=tmp_path / "videos")
    report = await run(job)
    whole = TreeStore(job.out)["a"]
    assert report.complete
    assert sum("missing" in warning for each in report.videos for warning in each.warnings) == 1
    async with Endpoint(job.endpoint) as endpoint:
        opened = await OnDemandCaptions.open(video, EndpointCaptioner(endpoint, job.settings), job.settings)
        for path in whole.grid.paths():
            assert await opened.caption(path) == whole.captions[path]
        assert opened.tree.to_dict() == whole.to_dict()


async def test_sound_with_subtitles_needs_no_pictures(job_for, tmp_path):
    (tmp_path / "videos").mkdir()
    video = write_sound(tmp_path / "videos" / "talk.mp4", 20)
    video.with_suffix(".srt").write_text(SRT)
    job = job_for("http://127.0.0.1:9", videos=tmp_path / "videos")
    job = replace(job, settings=replace(job.settings, captioner="subtitles"))
    report = await run(job)
    assert report.complete
    tree = TreeStore(job.out)["talk"]
    assert 19.9 < tree.grid.duration < 20.2
    assert "Bye" in tree.captions[(2,)]
    opened = await OnDemandCaptions.open(video, LinesCaptioner(job.settings), job.settings)
    assert await opened.caption((2,)) == tree.captions[(2,)]
    async with await open_source(video, AskSettings()) as source:
        assert source.video is None
        assert any("no pictures" in note for note in source.notes)
        assert await source.thumbnails((1,)) is None
