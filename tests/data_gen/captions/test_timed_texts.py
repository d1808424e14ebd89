"""What a caption run says of the subtitles and annotations that it reads."""

import json
import shutil
from dataclasses import replace

import pytest

from data_gen.lines.settings import LineSettings
from navigation import TreeStore
from runtime import EndpointSettings
from runtime.ranked_run import run_ranks


def cue(start, end, text):
    return f"00:00:{start:02d}.000 --> 00:00:{end:02d}.000\n{text}\n\n"


@pytest.fixture
def subtitle_job(job_for, clips, tmp_path):
    """A job over copies of the clips that reads their subtitles; files by name."""

    def make(files, captioner="subtitles", language="", **more):
        videos = tmp_path / "videos"
        shutil.copytree(clips, videos)
        for name, text in files.items():
            (videos / name).write_text(text)
        job = job_for("http://127.0.0.1:9", videos=videos, **more)
        settings = replace(job.settings, captioner=captioner, lines=LineSettings(subtitle_language=language))
        return replace(job, settings=settings, endpoint=None)

    return make


def test_a_run_says_what_it_left_out_and_refuses_a_clock_that_starts_late(subtitle_job):
    job = subtitle_job(
        {
            "one.srt": cue(1, 2, "in") + cue(40, 41, "out") + cue(4, 3, "backwards"),
            "two.srt": "1\n01:00:01,000 --> 01:00:05,000\nOne hour late.\n",
        }
    )
    one, two = run_ranks(job, quiet=True).videos
    assert (one.state, two.state) == ("complete", "refused")
    assert [line.text for line in TreeStore(job.out)["one"].lines] == ["in"]
    assert len(one.warnings) == 1
    assert "2 of its texts" in one.warnings[0]
    assert "3600 s" in two.reason
    assert "two" not in TreeStore(job.out)


def test_a_run_says_which_subtitles_it_read_and_refuses_several_languages(subtitle_job):
    files = {name: cue(1, 2, name) for name in ("one.de.srt", "one.en.srt", "one.en.forced.srt", "two.en.srt")}
    job = subtitle_job(files, language="en")
    report = run_ranks(job, quiet=True)
    assert [video.read for video in report.videos] == [["one.en.srt (en)"], ["two.en.srt (en)"]]
    assert "lines read of 2 videos: 2 en" in report.lines()
    tree = TreeStore(job.out)["one"]
    assert tree.made_by["read"] == ["one.en.srt (en)"]
    assert (tree.lines[0].text, tree.lines[0].language) == ("one.en.srt", "en")
    assert "one.de.srt" in tree.made_by["warnings"][0]
    assert run_ranks(job, quiet=True).complete
    chosen = replace(job.settings, lines=LineSettings())
    one, two = run_ranks(replace(job, out=job.out / "other", settings=chosen), quiet=True).videos
    assert (one.state, two.state) == ("refused", "complete")
    assert "--subtitle-language" in one.reason


def test_lines_of_both_kinds_become_captions(subtitle_job):
    job = subtitle_job({"two.srt": "1\n00:00:01,000 --> 00:00:02,000\nHello.\n"}, "lines")
    job = replace(job, settings=replace(job.settings, model=""))
    rows = [
        {"start": 1, "end": 2, "text": "The ferry leaves.", "kind": "speech"},
        {"start": 1, "end": 3, "text": "Gate B", "kind": "screen"},
    ]
    (job.videos / "one.lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_ranks(job, quiet=True).complete
    one, two = (TreeStore(job.out)[video] for video in ("one", "two"))
    assert one.captions[(1, 1, 1)] == "The ferry leaves. On screen: Gate B."
    assert one.captions[(2,)] == "Nothing is said or shown as text."
    assert one.made_by["read"] == ["one.lines.jsonl"]
    assert two.captions[(1,)] == "Hello."
    (job.videos / "two.srt").unlink()
    report = run_ranks(replace(job, out=job.out / "again"), quiet=True)
    assert [video.state for video in report.videos] == ["complete", "refused"]
    assert "--lines" in report.videos[1].reason


async def test_a_language_model_sums_up_the_parts_and_a_vision_model_is_told_the_lines(stubs, subtitle_job):
    server, address = await stubs()
    job = subtitle_job({}, "lines")
    row = {"start": 1, "end": 3, "text": "Gate B", "kind": "screen"}
    for name in ("one", "two"):
        (job.videos / f"{name}.lines.jsonl").write_text(json.dumps(row) + "\n")
    endpoint = EndpointSettings(address, "stub", 4)
    summed = replace(job, out=job.out / "summed", endpoint=endpoint)
    assert (await summed.work(0, True)).complete
    tree = TreeStore(summed.out)["one"]
    assert tree.captions[(1, 1, 1)] == "On screen: Gate B."
    assert tree.captions[(1,)].startswith("Stub caption")
    assert tree.made_by["model"] == "stub"
    assert server.stats["images"] == 0
    seen = replace(summed, out=job.out / "seen", settings=replace(job.settings, captioner="endpoint"))
    assert (await seen.work(0, True)).complete
    assert any("Read on screen meanwhile:\nGate B" in entry["texts"] for entry in server.log)


def test_annotations_of_videos_that_are_not_there_are_counted(subtitle_job, tmp_path):
    rows = [("one", 1, 2), ("one", 90, 91), ("three", 1, 2), ("three", 2, 3), ("two", 0, 1)]
    file = tmp_path / "texts.jsonl"
    named = [{"video_id": video, "start": start, "end": end, "text": "t"} for video, start, end in rows]
    file.write_text("\n".join(map(json.dumps, named)))
    job = subtitle_job({}, "annotations", annotations=file)
    report = run_ranks(job, quiet=True)
    assert report.complete
    assert report.notes == ["texts.jsonl: rows of 1 videos that are not there: three (2 rows)"]
    assert json.loads((job.out / ".run" / "report.json").read_text())["notes"] == report.notes
    assert "1 of its texts left out" in report.videos[0].warnings[0]
    assert TreeStore(job.out)["one"].lines[0].kind == "annotation"
