import asyncio
import json
import random
import shutil
from dataclasses import replace

import pytest

from data_gen.captions import run as captions_run
from navigation import CaptionTree, InputError, TreeStore
from runtime.ranked_run import run_ranks
from runtime.testing.chat_server import FAULTS
from runtime.testing.numbered_clip import write_numbered_clip

SEGMENTS = 14


async def run(job, **options):
    return await asyncio.to_thread(run_ranks, job, quiet=True, **options)


def files(out):
    return {path.name: path.read_bytes() for path in out.glob("*.json")}


async def test_every_video_gets_its_whole_tree(stubs, job_for):
    server, address = await stubs()
    job = job_for(address)
    report = await run(job)
    assert report.complete
    assert server.stats["requests"] == 2 * SEGMENTS
    assert server.stats["images"] == report.usage.images == 2 * (2 * 4 + 4 * 3 + 8 * 2)
    for tree in TreeStore(job.out):
        assert tree.missing() == []
        assert tree.made_by["model"] == "stub"
        assert "4 frames, 4 of 32x19" in tree.captions[(1,)]
        assert "3 frames, 3 of 48x29" in tree.captions[(1, 2)]
        assert "2 frames, 2 of 64x38" in tree.captions[(1, 2, 1)]
    assert json.loads((job.run_folder / "report.json").read_text())["complete"] is True


async def test_bottom_up_shows_frames_of_leaves_only(stubs, job_for):
    server, address = await stubs()
    job = job_for(address)
    job = replace(job, settings=replace(job.settings, strategy="bottom_up"))
    report = await run(job)
    assert report.complete
    assert server.stats["requests"] == 2 * SEGMENTS
    assert server.stats["images"] == 2 * 8 * 2
    for tree in TreeStore(job.out):
        assert "no frames" in tree.captions[(2,)]
    parents = [entry["texts"] for entry in server.log if "Its parts have these captions" in entry["texts"]]
    assert len(parents) == 2 * 6


async def test_a_second_run_asks_nothing(stubs, job_for):
    server, address = await stubs()
    job = job_for(address)
    first = await run(job)
    before = files(job.out)
    report = await run(job)
    assert server.stats["requests"] == 2 * SEGMENTS
    assert report.complete
    assert sum(video.resumed for video in report.videos) == 2 * SEGMENTS
    assert report.usage == first.usage
    assert files(job.out) == before


async def test_a_tree_that_was_removed_comes_back_from_the_journal(stubs, job_for):
    server, address = await stubs()
    job = job_for(address)
    await run(job)
    before = files(job.out)
    (job.out / "one.json").unlink()
    assert (await run(job)).complete
    assert files(job.out) == before
    assert server.stats["requests"] == 2 * SEGMENTS


async def test_other_settings_are_refused_with_the_difference(stubs, job_for):
    server, address = await stubs()
    job = job_for(address)
    await run(job)
    asked = server.stats["requests"]
    other = replace(job, settings=replace(job.settings, recipe=replace(job.settings.recipe, quality=90)))
    with pytest.raises(InputError) as error:
        await run(other)
    assert (error.value.field, error.value.value) == ("settings", "1 changed")
    assert "frames.quality: 75 before, 90 now" in error.value.hint
    assert server.stats["requests"] == asked


async def test_another_video_under_a_known_name_is_refused_and_the_others_go_on(stubs, job_for, clips, tmp_path):
    _, address = await stubs()
    videos = tmp_path / "videos"
    shutil.copytree(clips, videos)
    job = job_for(address, videos=videos)
    await run(job)
    write_numbered_clip(videos / "one.mp4", [100 * number for number in range(150)])
    report = await run(job)
    assert {video.video_id: video.state for video in report.videos} == {"one": "refused", "two": "complete"}
    assert "video.sha256" in report.videos[0].reason


async def test_unusable_videos_are_named_and_the_others_go_on(stubs, job_for, clips, tmp_path):
    _, address = await stubs()
    videos = tmp_path / "videos"
    shutil.copytree(clips, videos)
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "noise.mkv").write_bytes(bytes(range(256)) * 50)
    (videos / "one.mkv").write_bytes(b"")
    (videos / "a.1.mp4").write_bytes((clips / "one.mp4").read_bytes())
    (videos / "a.2.mp4").write_bytes((clips / "two.mp4").read_bytes())
    job = job_for(address, videos=videos)
    report = await run(job)
    states = {video.video_id: video.state for video in report.videos}
    complete, refused = (
        dict.fromkeys(("a.1", "a.2", "two"), "complete"),
        dict.fromkeys(("empty", "noise", "one"), "refused"),
    )
    assert states == complete | refused
    reasons = {video.video_id: video.reason for video in report.videos}
    assert "empty.mp4" in reasons["empty"]
    assert "one.mkv and one.mp4 have one id" in reasons["one"]
    assert not report.complete
    assert sorted(files(job.out)) == ["a.1.json", "a.2.json", "two.json"]
    assert CaptionTree.load(job.out / "a.1.json").captions != CaptionTree.load(job.out / "a.2.json").captions


async def test_a_damaged_video_stays_refused_until_damage_is_accepted(stubs, job_for, tmp_path):
    _, address = await stubs()
    videos = tmp_path / "videos"
    videos.mkdir()
    write_numbered_clip(videos / "a.mp4", [100 * number for number in range(200)], options={"g": "10", "bf": "0"})
    data = bytearray((videos / "a.mp4").read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    middle, length = (begin + end) // 2, (end - begin) // 4
    data[middle : middle + length] = random.Random(0).randbytes(length)
    (videos / "a.mp4").write_bytes(data)
    job = job_for(address, videos=videos)
    reasons = []
    for _ in range(2):
        (video,) = (await run(job)).videos
        assert video.state == "refused"
        reasons.append(video.reason)
    assert "asked frames cannot be decoded" in reasons[0]
    assert reasons[0] == reasons[1]
    assert files(job.out) == {}
    accepting = replace(job, settings=replace(job.settings, accept_damaged=True))
    assert (await run(accepting)).complete


async def test_a_refused_video_that_can_be_read_again_goes_on(stubs, job_for, monkeypatch):
    """A network share that is away fails like a damaged file."""
    server, address = await stubs()
    job = job_for(address)
    real, left = captions_run.segment_frames, [1]

    def reading(*arguments, **options):
        for count, frames in enumerate(real(*arguments, **options)):
            if left[0] and count == 5:
                left[0] -= 1
                raise InputError("one.mp4", "video stream", "Input/output error", "copy the video again")
            yield frames

    monkeypatch.setattr(captions_run, "segment_frames", reading)
    job = replace(job, pace=replace(job.pace, decoding=1))
    assert [video.state for video in (await run(job)).videos] == ["refused", "complete"]
    report = await run(job)
    assert report.complete
    assert [video.reason for video in report.videos] == ["", ""]
    assert server.stats["requests"] == 2 * SEGMENTS


@pytest.mark.parametrize("kind", FAULTS)
async def test_each_fault_is_asked_again(stubs, job_for, kind):
    server, address = await stubs(faults=0.3, kinds=[kind], hang=2.0)
    job = job_for(address, timeout=1.5 if kind == "timeout" else 60.0)
    report = await run(job)
    assert report.complete, report.lines()
    assert server.stats["faults"][kind] > 0
    assert server.stats["requests"] == 2 * SEGMENTS + server.stats["faults"][kind]
    assert report.usage.requests == server.stats["requests"]


async def test_ten_percent_of_all_faults_leave_the_same_trees(stubs, job_for, tmp_path):
    _, calm = await stubs()
    undisturbed = job_for(calm, out=tmp_path / "calm")
    await run(undisturbed)
    server, address = await stubs(faults=0.1, hang=2.0, seed=5)
    job = job_for(address, timeout=1.5)
    report = await run(job)
    assert report.complete
    assert sum(server.stats["faults"].values()) > 0
    assert files(job.out) == files(undisturbed.out)


async def test_what_cannot_be_captioned_is_listed_and_asked_again_later(stubs, job_for):
    server, address = await stubs(faults=0.5, kinds=["empty"], seed=1)
    job = job_for(address, attempts=1)
    report = await run(job)
    listed = {(video.video_id, path) for video in report.videos for path in video.failed}
    assert len(listed) == server.stats["faults"]["empty"] > 0
    reasons = {reason for video in report.videos for reason in video.failed.values()}
    assert all(reason.startswith(f"empty caption [{address}/") for reason in reasons)
    assert report.usage.completion_tokens > 0
    captioned = sum(video.captioned for video in report.videos)
    assert captioned + len(listed) == 2 * SEGMENTS
    assert {video.video_id for video in report.videos if video.failed} == {"one", "two"} - {
        name.removesuffix(".json") for name in files(job.out)
    }
    server.faults = 0.0
    asked = server.stats["requests"]
    again = await run(job)
    assert again.complete
    assert server.stats["requests"] - asked == len(listed)
    assert again.usage.requests == server.stats["requests"]


async def test_a_failed_leaf_lists_its_parents_bottom_up(stubs, job_for):
    _, address = await stubs(faults=1.0, kinds=["empty"])
    job = job_for(address, attempts=1)
    job = replace(job, settings=replace(job.settings, strategy="bottom_up"))
    job = replace(job, endpoint=replace(job.endpoint, down_after=1000))
    report = await run(job)
    for video in report.videos:
        assert len(video.failed) == SEGMENTS
        assert video.unasked == 0
        assert "caption of [1, 1, " in video.failed["[1, 1]"]


async def test_a_server_that_is_gone_stops_the_run(job_for):
    job = job_for("http://127.0.0.1:9/v1", attempts=2)
    job = replace(job, endpoint=replace(job.endpoint, down_after=3))
    report = await run(job)
    assert not report.complete
    assert "3 answers in a row failed" in report.stopped
    assert sum(video.unasked for video in report.videos) > 0


async def test_money_stops_the_run_and_counts_over_runs(stubs, job_for):
    server, address = await stubs()
    whole = await run(job_for(address, out=job_for(address).out / "whole"))
    limit = whole.usage.usd / 2
    settings = replace(job_for(address).settings, max_tokens=64)
    job = job_for(address, settings=settings, max_usd=limit, in_flight=2)
    report = await run(job)
    assert "limit on money" in report.stopped
    assert 0.5 * limit < report.usage.usd <= limit * 1.1
    asked = server.stats["requests"]
    again = await run(job)
    assert server.stats["requests"] - asked <= 2
    assert again.usage.usd <= limit * 1.1
    assert (await run(replace(job, max_usd=None))).complete


async def test_what_later_videos_have_cost_counts_before_the_first_request(stubs, job_for):
    server, address = await stubs()
    job = job_for(address)
    spent = (await run(job)).usage.usd
    asked = server.stats["requests"]
    (job.out / "one.json").unlink()
    journal = job.run_folder / "journals" / "one.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:3]))
    job = replace(job, pace=replace(job.pace, decoding=1))
    report = await run(replace(job, max_usd=spent * 0.6))
    assert "limit on money" in report.stopped
    assert server.stats["requests"] - asked < SEGMENTS / 2


async def test_two_runs_of_one_folder_are_refused(stubs, job_for):
    server, address = await stubs(latency=0.3)
    job = job_for(address)
    first = asyncio.create_task(run(job))
    while not server.in_flight:
        await asyncio.sleep(0.01)
    with pytest.raises(InputError) as error:
        await run(job)
    assert (error.value.field, error.value.value) == ("caption run", "locked")
    assert (await first).complete


async def test_a_full_disk_stops_with_a_clear_word_and_loses_nothing(stubs, job_for, monkeypatch):
    server, address = await stubs()
    job = job_for(address)
    from runtime import Journal

    real, left = Journal.append, [9]

    def append(self, key, value):
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        real(self, key, value)

    monkeypatch.setattr(Journal, "append", append)
    report = await run(job)
    assert "No space left on device" in report.stopped
    left[0] = -1
    asked = server.stats["requests"]
    assert (await run(job)).complete
    assert server.stats["requests"] - asked == 2 * SEGMENTS - 9


async def test_subtitles_are_said_to_the_model_and_kept_as_lines(stubs, job_for, clips, tmp_path):
    server, address = await stubs()
    videos = tmp_path / "videos"
    shutil.copytree(clips, videos)
    (videos / "one.srt").write_text(
        "1\n00:00:01,000 --> 00:00:02,500\nHello <i>there</i>\n\n2\n00:00:12,000 --> 00:00:12,400\nBye\n"
    )
    job = job_for(address, videos=videos)
    await run(job)
    tree = TreeStore(job.out)["one"]
    assert [line.text for line in tree.lines] == ["Hello there", "Bye"]
    assert TreeStore(job.out)["two"].lines == ()
    texts = [entry["texts"] for entry in server.log if "Said meanwhile" in entry["texts"]]
    assert sum("Hello there" in text for text in texts) == 3
    assert sum("Bye" in text for text in texts) == 3


async def test_subtitle_captioner_needs_neither_endpoint_nor_frames(job_for, clips, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(clips / "one.mp4", videos)
    shutil.copy(clips / "two.mp4", videos)
    (videos / "one.vtt").write_text(
        "WEBVTT\n\n00:01.000 --> 00:02.500\nHello\n\n00:12.000 --> 00:12.400\nBye &amp; thanks\n"
    )
    job = job_for("http://127.0.0.1:9", videos=videos)
    job = replace(job, settings=replace(job.settings, captioner="subtitles"), endpoint=None)
    report = await run(job)
    tree = TreeStore(job.out)["one"]
    assert tree.captions[(1,)] == tree.captions[(1, 1, 1)] == "Hello"
    assert tree.captions[(2,)] == "Bye & thanks"
    assert tree.captions[(2, 2)] == "Nothing is said."
    assert "two.srt or .vtt" in next(video.reason for video in report.videos if video.video_id == "two")


async def test_annotation_captioner_reads_rows(job_for, tmp_path):
    rows = [
        {"video_id": "one", "start": 0, "end": 8, "text": "cut onions"},
        {"video_id": "two", "start": 11, "end": 14, "text": "fry"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = job_for("http://127.0.0.1:9", annotations=tmp_path / "rows.jsonl")
    job = replace(job, settings=replace(job.settings, captioner="annotations"), endpoint=None)
    assert (await run(job)).complete
    assert TreeStore(job.out)["one"].captions[(1,)] == "cut onions"
    assert TreeStore(job.out)["two"].captions[(2, 2)] == "Nothing is annotated."


@pytest.mark.parametrize("row", [
    "no JSON", "[]", '{"video_id": "one", "start": 0, "end": 8}',
    '{"video_id": "one", "start": NaN, "end": 8, "text": "x"}',
    '{"video_id": "one", "start": 9, "end": 8, "text": "x"}', '{"video_id": "one", "start": 0, "end": 8, "text": null}',
])  # fmt: skip
async def test_an_annotation_that_is_none_is_named_by_its_line(job_for, tmp_path, row):
    good = '{"video_id": "one", "start": 0, "end": 8, "text": "cut onions"}'
    (tmp_path / "rows.jsonl").write_text(f"{good}\n{row}\n")
    job = job_for("http://127.0.0.1:9", annotations=tmp_path / "rows.jsonl")
    job = replace(job, settings=replace(job.settings, captioner="annotations"), endpoint=None)
    with pytest.raises(InputError) as error:
        await run(job)
    assert error.value.source.endswith("rows.jsonl:2")


async def test_several_processes_make_the_same_trees(stubs, job_for, tmp_path):
    server, address = await stubs()
    alone = job_for(address, out=tmp_path / "alone")
    await run(alone)
    job = job_for(address)
    report = await run(replace(job, tasks=2))
    assert report.complete
    assert files(job.out) == files(alone.out)
    assert server.stats["requests"] == 4 * SEGMENTS


async def test_captions_keep_as_many_in_flight_as_allowed_and_no_more(stubs, job_for):
    server, address = await stubs(latency=0.1)
    await run(job_for(address, in_flight=5))
    assert server.stats["most_in_flight"] == 5


async def test_decoding_waits_when_frames_fill_the_memory_bound(stubs, job_for):
    server, address = await stubs()
    job = job_for(address)
    job = replace(job, pace=replace(job.pace, frame_bytes=1))
    assert (await run(job)).complete
    assert server.stats["most_in_flight"] == 1
