import asyncio
import json
import shutil
from dataclasses import replace

import pytest

from data_gen.captions import EndpointCaptioner, LinesCaptioner, OnDemandCaptions
from data_gen.captions.on_demand import FOLDER
from data_gen.frames import FrameRecipe
from navigation import (
    InputError,
    Line,
    NavigationEnvironment,
    Question,
    TreeStore,
    answer_message,
    assistant_message,
    run,
)
from navigation.policy import Reply
from runtime import Endpoint, EndpointFailed
from runtime.ranked_run import run_ranks
from runtime.testing.numbered_clip import read_number

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello\n\n2\n00:00:12,000 --> 00:00:16,000\nBye\n"
SEGMENTS = 14


@pytest.fixture
def video(clips, tmp_path):
    (tmp_path / "videos").mkdir()
    return shutil.copy(clips / "one.mp4", tmp_path / "videos" / "one.mp4")


@pytest.fixture
def subtitles(job_for):
    return replace(job_for("http://127.0.0.1:9").settings, captioner="subtitles")


async def whole_tree(job):
    await asyncio.to_thread(run_ranks, job, quiet=True)
    return TreeStore(job.out)["one"]


@pytest.mark.parametrize("strategy", ["frames", "bottom_up"])
async def test_what_is_opened_is_what_a_whole_run_writes(stubs, job_for, video, strategy):
    _, calm = await stubs()
    job = job_for(calm, settings=replace(job_for(calm).settings, strategy=strategy))
    whole = await whole_tree(job)
    server, address = await stubs()
    async with Endpoint(replace(job.endpoint, url=address)) as endpoint:
        opened = await OnDemandCaptions.open(video, EndpointCaptioner(endpoint, job.settings), job.settings)
        for asked, path in enumerate([(2, 1, 2), (1, 1, 1), (2, 2, 2), (2, 1, 2)], 1):
            assert await opened.caption(path) == whole.captions[path]
            assert server.stats["requests"] == min(asked, 3)
        assert opened.usage.requests == 3
        assert await opened.captions_of(opened.tree.grid.paths()) == [whole.captions[p] for p in whole.grid.paths()]
        assert server.stats["requests"] == SEGMENTS
        assert opened.tree.to_dict() == whole.to_dict()


async def test_the_cache_serves_a_renamed_video_and_no_other_settings(stubs, job_for, video):
    server, address = await stubs()
    job = job_for(address)
    async with Endpoint(job.endpoint) as endpoint:
        captioner = EndpointCaptioner(endpoint, job.settings)
        first = await (await OnDemandCaptions.open(video, captioner, job.settings)).caption((1, 2))
        moved = shutil.move(video, video.with_name("zwei ü.mp4"))
        again = await OnDemandCaptions.open(moved, captioner, job.settings)
        assert await again.caption((1, 2)) == first
        assert again.usage.requests == 0
        assert again.tree.video_id == "zwei ü"
        assert server.stats["requests"] == 1
        other = replace(job.settings, words=(5,))
        renewed = await OnDemandCaptions.open(moved, EndpointCaptioner(endpoint, other), other)
        await renewed.caption((1, 2))
        assert server.stats["requests"] == 2
    assert {path.parent for path in (again.folder, renewed.folder)} == {moved.parent / FOLDER}


async def test_a_damaged_cache_file_is_asked_for_again(stubs, job_for, video, tmp_path):
    server, address = await stubs()
    job = job_for(address)
    async with Endpoint(job.endpoint) as endpoint:
        captioner = EndpointCaptioner(endpoint, job.settings)
        opened = await OnDemandCaptions.open(video, captioner, job.settings, cache=tmp_path / "cache")
        first = await opened.caption((1,))
        for broken in ("", '{"caption": 3}', "[]", '{"caption": ""}'):
            (opened.folder / "1.json").write_text(broken)
            opened = await OnDemandCaptions.open(video, captioner, job.settings, cache=tmp_path / "cache")
            assert await opened.caption((1,)) == first
    assert server.stats["requests"] == 5
    assert not (video.parent / FOLDER).exists()


async def test_many_who_want_one_segment_ask_once_and_one_who_gives_up_stops_nobody(stubs, job_for, video):
    server, address = await stubs(latency=0.2)
    job = job_for(address)
    async with Endpoint(job.endpoint) as endpoint:
        opened = await OnDemandCaptions.open(video, EndpointCaptioner(endpoint, job.settings), job.settings)
        tasks = [asyncio.create_task(opened.caption((2, 1))) for _ in range(20)]
        while not server.in_flight:
            await asyncio.sleep(0.01)
        tasks[0].cancel()
        texts = await asyncio.gather(*tasks[1:])
        assert len(set(texts)) == 1
        assert server.stats["requests"] == 1


async def test_a_failure_is_raised_counted_and_not_kept(stubs, job_for, video):
    server, address = await stubs(faults=1.0, kinds=["empty"])
    job = job_for(address, attempts=2)
    async with Endpoint(job.endpoint) as endpoint:
        opened = await OnDemandCaptions.open(video, EndpointCaptioner(endpoint, job.settings), job.settings)
        with pytest.raises(EndpointFailed) as error:
            await opened.captions_of([(1,), (2,)])
        assert error.value.label == "empty caption"
        assert opened.usage.requests == 4  # both have ended, not only the first to fail
        server.faults = 0.0
        assert "Stub caption" in await opened.caption((1,))
        assert opened.usage.requests == 5


class Navigator:
    name = "navigator"

    async def reply(self, task, messages):
        turn = sum(message["role"] == "assistant" for message in messages)
        if turn < 2:
            return Reply(assistant_message("", "", [("get_caption", {"segment": [[2, 1], [2, 1, 1]][turn]})]))
        return Reply(answer_message("", "A"))


async def test_an_episode_opens_segments_while_it_plays(stubs, job_for, video):
    server, address = await stubs()
    job = job_for(address)
    question = Question("q", "one", "What?", ("x", "y"), "A")
    async with Endpoint(job.endpoint) as endpoint:
        opened = await OnDemandCaptions.open(video, EndpointCaptioner(endpoint, job.settings), job.settings)
        await opened.captions_of(opened.tree.grid.paths(1))
        trajectory = await run(Navigator(), NavigationEnvironment({"one": opened.tree}), question)
    assert [visit.path for visit in trajectory.visits] == [(2, 1), (2, 1, 1)]
    assert server.stats["requests"] == 4
    assert opened.tree.captions[(2, 1, 1)] in trajectory.messages[-2]["content"]
    assert sorted(opened.tree.captions) == [(1,), (2,), (2, 1), (2, 1, 1)]
    assert (1, 1) not in opened.tree.captions


async def test_the_event_loop_is_told_not_to_wait_for_itself(video, subtitles):
    opened = await OnDemandCaptions.open(video, LinesCaptioner(subtitles), subtitles)
    with pytest.raises(RuntimeError, match=r"await caption\(\(1,\)\) first"):
        opened.tree.captions[(1,)]
    with pytest.raises(KeyError):
        opened.tree.captions[(9,)]
    with pytest.raises(InputError) as error:
        await opened.caption((9,))
    assert (error.value.field, error.value.value) == ("path", (9,))


async def test_subtitles_beside_the_video_need_no_model(video, subtitles):
    video.with_suffix(".srt").write_text(SRT)
    opened = await OnDemandCaptions.open(video, LinesCaptioner(subtitles), subtitles)
    assert await opened.captions_of([(1,), (2,), (2, 2, 2)]) == ["Hello", "Bye", "Nothing is said."]
    given = await OnDemandCaptions.open(video, LinesCaptioner(subtitles), subtitles, [Line(0.0, 1.0, "Given")])
    assert await given.caption((1,)) == "Given"
    assert given.folder != opened.folder


async def test_a_subtitle_file_without_a_video_lasts_until_its_last_line(job_for, tmp_path, subtitles):
    (tmp_path / "talk.srt").write_text(SRT)
    opened = await OnDemandCaptions.open(tmp_path / "talk.srt", LinesCaptioner(subtitles), subtitles)
    assert opened.tree.grid.duration == 16.0
    assert await opened.captions_of([(1,), (2,)]) == ["Hello", "Bye"]
    with pytest.raises(InputError) as error:
        await opened.frames((1,))
    assert error.value.field == "frames"
    job = job_for("http://127.0.0.1:9")
    async with Endpoint(job.endpoint) as endpoint:
        with pytest.raises(InputError) as error:
            await OnDemandCaptions.open(tmp_path / "talk.srt", EndpointCaptioner(endpoint, job.settings), job.settings)
        assert error.value.field == "video"


async def test_thumbnails_by_another_recipe(video, subtitles):
    opened = await OnDemandCaptions.open(video, LinesCaptioner(subtitles), subtitles)
    frames = await opened.frames((2, 2), FrameRecipe((2,), (160,)))
    assert [read_number(jpeg) for jpeg in frames.jpegs] == [162, 187]


@pytest.mark.parametrize("content", [None, b"", b"noise" * 100])
async def test_an_unusable_video_is_named(tmp_path, subtitles, content):
    video = tmp_path / "bad.mp4"
    if content is not None:
        video.write_bytes(content)
    with pytest.raises(InputError) as error:
        await OnDemandCaptions.open(video, LinesCaptioner(subtitles), subtitles)
    assert (error.value.source, error.value.field) == (str(video), "file")


async def test_where_the_video_is_cannot_be_written_the_users_cache_is_used(video, subtitles, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("data_gen.captions.on_demand.os.access", lambda path, mode: False)
    opened = await OnDemandCaptions.open(video, LinesCaptioner(subtitles), subtitles)
    await opened.caption((1,))
    (file,) = (tmp_path / "home/clipscout/captions").glob("*/1.json")
    assert json.loads(file.read_text())["caption"] == "Nothing is said."
