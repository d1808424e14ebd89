"""Text on screen over time: followed, voted on, told once; furniture and fades left out; a real reader, if any."""

import asyncio

import pytest
from PIL import Image, ImageDraw, ImageFont

from data_gen.frames import index_video, pictures
from data_gen.lines import screen
from data_gen.lines.make import make_lines
from data_gen.lines.screen import Text, Tracker, look
from data_gen.lines.settings import LineSettings
from runtime import Journal
from runtime.testing.numbered_clip import write_numbered_clip

TOP, LOW, BAR = (0.1, 0.1, 0.5, 0.15), (0.1, 0.5, 0.5, 0.55), (0.0, 0.9, 0.3, 0.95)


def text(words, box=TOP, score=0.95):
    return Text(words, score, box)


def followed(*seen, duration=40.0):
    """Lines as `(start, end, text)` of pictures every two seconds, and the furniture."""
    tracker = Tracker()
    for number, texts in enumerate(seen):
        tracker.add(2.0 * number, texts)
    lines, furniture = tracker.lines(duration)
    return [(line.start, line.end, line.text) for line in lines], furniture


def test_a_text_is_told_once_from_when_it_appears():
    one, two = text("Arrival rate"), text("Service rate", LOW)
    assert followed([one], [one], [one, two], None, [two])[0] == [
        (0.0, 8.0, "Arrival rate"),
        (4.0, 10.0, "Service rate"),
    ]


def test_readings_are_voted_on_and_one_miss_is_no_end():
    readings = ["Emmy Noether", "Ernmy Noether", None, "Emmy Noether", "Emmy Noetner"]
    seen = [[text(words)] if words else [] for words in readings]
    assert followed(*seen)[0] == [(0.0, 10.0, "Emmy Noether")]


def test_another_text_at_its_place_is_another_line():
    lines, _ = followed([text("Questions")], [text("Questions")], [text("Proof 147")], [text("Proof 147")])
    assert [line[2] for line in lines] == ["Questions", "Proof 147"]


def test_a_fade_between_two_slides_is_no_line():
    old, new = text("Containers arrive by ship"), text("Every symmetry has a quantity")
    mixed = text("Containersyarrmvehbyaships", score=0.85)
    assert [line[2] for line in followed([old], [old], [mixed], [new], [new])[0]] == [old.text, new.text]


def test_what_stands_for_half_of_a_video_is_furniture():
    bar, slide = text("Port Academy", BAR), text("Cost 1,250,000 EUR")
    lines, furniture = followed(*[[bar]] * 25, *[[bar, slide]] * 5, duration=60.0)
    assert [line[2] for line in lines] == ["Cost 1,250,000 EUR"]
    assert furniture == ["Port Academy"]
    assert followed(*[[bar]] * 5, duration=10.0)[1] == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_numbered_clip(path, [100 * number for number in range(80)])
    return path


def test_pictures_come_every_two_seconds_as_they_are_shown(clip):
    found = list(pictures(index_video(clip), 2.0))
    assert [time for time, _ in found] == [0.0, 2.0, 4.0, 6.0]
    assert len({picture.size for _, picture in found}) == 1
    assert len({picture.tobytes() for _, picture in found}) == 4


def test_a_picture_is_read_once_and_unchanged_ones_are_not(clip, tmp_path, monkeypatch):
    read = []

    def read_picture(picture):
        read.append(picture)
        return [text("Harbour")]

    monkeypatch.setattr(screen, "reader", lambda: None)
    monkeypatch.setattr(screen, "read_picture", read_picture)
    monkeypatch.setattr(screen, "_changed", lambda one, other: len(read) < 2)
    with Journal(tmp_path / "a.jsonl", {}) as journal:
        timed, records = look(clip, index_video(clip), journal)
        assert look(clip, index_video(clip), journal)[1] == records
    assert len(read) == 2
    assert [(line.start, line.end, line.told) for line in timed.lines] == [(0.0, 8.0, "On screen: Harbour")]
    assert records[0]["kind"] == "screen"


def test_a_word_is_a_change_and_a_cursor_is_not():
    empty = Image.new("RGB", (1280, 720), "white")
    cursor, word = empty.copy(), empty.copy()
    ImageDraw.Draw(cursor).rectangle((600, 400, 612, 412), fill="red")
    ImageDraw.Draw(word).text((600, 400), "Emmy Noether", font=ImageFont.load_default(34), fill="black")
    small = screen._small(empty)
    assert not screen._changed(screen._small(cursor), small)
    assert screen._changed(screen._small(word), small)


@pytest.mark.slow
def test_a_slide_is_read_by_the_real_reader(tmp_path):
    for package in ("rapidocr", "onnxruntime"):
        pytest.importorskip(package, reason="pip install 'clipscout[screen]'")
    slide = Image.new("RGB", (640, 360), "white")
    font = ImageFont.load_default(24)
    for row, words in enumerate(("Queueing theory", "Arrival rate: 12 ships per day")):
        ImageDraw.Draw(slide).text((40, 60 + 80 * row), words, font=font, fill="black")
    assert [text.text for text in screen.read_picture(slide)] == ["Queueing theory", "Arrival rate: 12 ships per day"]
    clip = tmp_path / "clip.mp4"
    write_numbered_clip(clip, [100 * number for number in range(30)])
    made = asyncio.run(make_lines(clip, LineSettings(("screen",)), tmp_path / "clip.jsonl"))
    assert made.timed.lines == ()
