"""The lines of many videos: files, exports, reports, resuming; and captions that are made of them."""

import json
import shutil
from dataclasses import replace

import pytest

from data_gen.captions import LinesCaptioner
from data_gen.captions.lines_captioner import NOTHING, chosen, shortened
from data_gen.captions.settings import CaptionSettings
from data_gen.lines import read_subtitles
from data_gen.lines import stage as stages
from data_gen.lines.make import Made, lines_of
from data_gen.lines.settings import LineSettings
from data_gen.lines.stage import LinesJob
from data_gen.lines.subtitles import subtitle_text
from data_gen.lines.timed_lines import TimedLines
from navigation import CaptionTree, InputError, Line, TimeGrid
from runtime.ranked_run import collect_run, run_ranks
from runtime.testing.numbered_clip import write_numbered_clip

SRT = "1\n00:00:01,000 --> 00:00:03,000\nThe ferry leaves at noon.\n"


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_numbered_clip(folder / "one.mp4", [100 * number for number in range(60)])
    shutil.copy(folder / "one.mp4", folder / "two.mp4")
    (folder / "one.en.srt").write_text(SRT)
    (folder / "bad.mp4").write_bytes(b"")
    return folder


def test_each_video_has_its_lines_and_what_failed_is_listed(videos, tmp_path):
    job = LinesJob(videos, tmp_path / "out", LineSettings(), ("srt", "vtt"))
    report = run_ranks(job, quiet=True)
    assert [(video.video_id, video.state) for video in report.videos] == [
        ("bad", "refused"),
        ("one", "complete"),
        ("two", "complete"),
    ]
    rows = [json.loads(row) for row in (job.out / "one.lines.jsonl").read_text().splitlines()]
    line = Line(1.0, 3.0, "The ferry leaves at noon.", "speech", "subtitles", "en")
    assert rows == [line.to_dict()]
    assert (job.out / "two.lines.jsonl").read_text() == ""
    assert read_subtitles(job.out / "one.srt").lines[0].text == "The ferry leaves at noon."
    assert report.videos[1].read == ["one.en.srt (en)"]
    assert collect_run(job).to_dict() == {**report.to_dict(), "seconds": collect_run(job).to_dict()["seconds"]}
    assert "lines: 1 speech" in report.lines()[0]


def test_a_second_run_makes_nothing_again_and_other_settings_are_refused(videos, tmp_path, monkeypatch):
    (videos / "bad.mp4").unlink()
    job = LinesJob(videos, tmp_path / "out", LineSettings())
    assert run_ranks(job, quiet=True).complete

    async def never(*arguments):
        raise AssertionError("made again")

    monkeypatch.setattr(stages, "make_lines", never)
    assert run_ranks(job, quiet=True).complete
    with pytest.raises(InputError) as error:
        run_ranks(replace(job, settings=LineSettings(subtitle_language="de")), quiet=True)
    assert error.value.field == "settings"


def test_lines_are_told_with_what_was_odd(videos, tmp_path, monkeypatch):
    async def make(*arguments):
        line = Line(0.0, 1.0, "a", "screen")
        return Made(TimedLines((line,), notes=("odd",)), [line.to_dict()], ("cut short",))

    (videos / "bad.mp4").unlink()
    monkeypatch.setattr(stages, "make_lines", make)
    report = run_ranks(LinesJob(videos, tmp_path / "out", LineSettings()), quiet=True)
    assert report.videos[0].warnings == ["cut short", "odd"]
    assert report.videos[0].lines == {"screen": 1}


def test_a_format_that_is_not_known_is_refused(videos, tmp_path):
    with pytest.raises(InputError) as error:
        run_ranks(LinesJob(videos, tmp_path / "out", LineSettings(), ("ass",)), quiet=True)
    assert error.value.field == "--export"


def test_finished_lines_beside_a_video_or_in_a_folder_are_read(videos, tmp_path):
    video = videos / "one.mp4"
    row = {"start": 0, "end": 1, "text": "Gate B", "kind": "screen"}
    (videos / "one.lines.jsonl").write_text(json.dumps(row) + "\n")
    assert [line.told for line in lines_of(video, LineSettings(), tmp_path / "j").lines] == ["On screen: Gate B"]
    shutil.move(videos / "one.lines.jsonl", tmp_path / "one.lines.jsonl")
    found = lines_of(video, LineSettings(), tmp_path / "j", tmp_path, "one")
    assert [line.kind for line in found.lines] == ["screen"]
    assert [line.source for line in lines_of(video, LineSettings(), tmp_path / "j").lines] == ["subtitles"]
    (tmp_path / "one.lines.jsonl").write_text(json.dumps(row | {"kind": "smell"}) + "\n")
    with pytest.raises(InputError) as error:
        lines_of(video, LineSettings(), tmp_path / "j", tmp_path, "one")
    assert error.value.field == "line.kind"


def test_lines_of_other_kinds_and_of_before_go_through_a_tree():
    lines = [{"start": 0, "end": 1, "text": "old"}]
    lines.append({"start": 1, "end": 2, "text": "new", "kind": "screen", "language": "en"})
    record = {"video_id": "v", "duration": 10.0, "width": 2, "depth": 1, "segments": [], "lines": lines}
    tree = CaptionTree.from_dict(record)
    assert tree.lines == (Line(0.0, 1.0, "old"), Line(1.0, 2.0, "new", "screen", "", "en"))
    assert CaptionTree.from_dict(tree.to_dict()) == tree
    assert tree.to_dict()["lines"][0] == {"start": 0.0, "end": 1.0, "text": "old"}


LONG = {
    "start": 1.0,
    "end": 7.0,
    "text": " ".join(["seventeen"] * 14),
    "kind": "speech",
}


def test_exported_subtitles_hold_what_is_said_in_two_rows(tmp_path):
    words = [[1 + 0.3 * place, 1.3 + 0.3 * place, word] for place, word in enumerate(LONG["text"].split())]
    screen = {"start": 0.0, "end": 1.0, "text": "Gate <B>", "kind": "screen"}
    for form in ("srt", "vtt"):
        path = tmp_path / f"a.{form}"
        path.write_text(subtitle_text([screen, LONG | {"words": words}, {"start": 9, "end": 9, "text": "a < b"}], form))
        found = read_subtitles(path)
        assert found.problems == ()
        assert " ".join(line.text for line in found.lines) == LONG["text"] + " a < b"
        assert found.lines[0].start == 1.0
        assert len(found.lines) == 3


@pytest.mark.parametrize("limit", [1, 6, 12, 30, 200])
def test_shortened_lines_stay_within_the_limit_and_keep_both_kinds(limit):
    lines = [Line(n, n + 1, f"words about subject{n} and thing{n % 5}", "speech") for n in range(20)]
    lines += [Line(n, n + 1, f"Slide {n} heading{n}", "screen") for n in range(10)]
    told = shortened(lines, limit)
    assert len(told.split()) <= limit
    if limit >= 12:
        assert "subject" in told
        assert "On screen: Slide" in told


def test_chosen_texts_tell_most_in_their_order():
    texts = [
        "the red crane lifts boxes",
        "um yes",
        "the red crane lifts",
        "trucks leave through the gate",
        "um yes yes",
    ]
    assert chosen(texts, 10) == ["the red crane lifts boxes", "trucks leave through the gate"]
    assert chosen(texts, 100) == texts
    assert chosen(["a b c d"], 2) == ["a b"]


async def test_a_segment_without_lines_says_so():
    from data_gen.captions import Segment

    captioner = LinesCaptioner(CaptionSettings("lines"))
    caption = await captioner.caption(Segment(TimeGrid(10.0, 2, 1), (1,)))
    assert caption.text == NOTHING["lines"]
