import threading
import time

import pytest
from PIL import Image

from data_gen.captions import CaptionSettings, EndpointCaptioner, Segment
from data_gen.captions.run import ByteGate, Closed
from data_gen.frames import SegmentFrames
from data_gen.frames.video_files import find_videos
from navigation import InputError, Line, TimeGrid
from runtime import Endpoint, EndpointSettings
from runtime.testing.caption_server import describe
from runtime.testing.numbered_clip import numbered_image


def test_ids_follow_the_folders_and_are_unique(tmp_path):
    for name in ("b.mp4", "a/b.mkv", "x.1.mp4", "x.2.MP4", ".hidden.mp4", "notes.txt", ".git/c.mp4", "d.mp4", "d.webm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    videos, refused = find_videos(tmp_path)
    assert [video.id for video in videos] == ["a/b", "b", "x.1", "x.2"]
    assert [video_id for video_id, _ in refused] == ["d"]
    assert find_videos(tmp_path / "b.mp4")[0][0].id == "b"


@pytest.mark.parametrize("name", ["bad\n.mp4", b"\xff.mp4".decode("utf-8", "surrogateescape")])
def test_names_that_are_no_text_are_refused_and_the_others_go_on(tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / "good.mp4").touch()
    videos, refused = find_videos(tmp_path)
    assert [video.id for video in videos] == ["good"]
    assert "rename it" in refused[0][1]
    refused[0][1].encode("ascii")


def test_a_link_that_leads_nowhere_is_missing_and_said_to_be(tmp_path):
    (tmp_path / "real.mp4").touch()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "folder.mp4").mkdir()
    videos, refused = find_videos(tmp_path)
    assert [video.id for video in videos] == ["link", "real"]
    assert refused == [("gone", "gone.mp4 leads to no file: put the video there, or remove the link")]


def test_no_videos_is_an_error(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError) as error:
            find_videos(folder)
        assert (error.value.field, error.value.value) == ("videos", "not there" if folder.name == "none" else "none")


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_the_gate_bounds_what_is_held_and_lets_one_large_piece_pass():
    gate, passed = ByteGate(100), []

    def decode():
        for size in (60, 30, 20, 500, 10):
            gate.acquire(size)
            passed.append(size)

    thread = threading.Thread(target=decode)
    thread.start()
    wait_for(lambda: passed == [60, 30])
    assert gate.held == 90
    gate.release(60)
    wait_for(lambda: passed == [60, 30, 20])
    gate.release(30)
    assert gate.held == 20
    assert passed == [60, 30, 20]
    gate.release(20)
    wait_for(lambda: passed == [60, 30, 20, 500])
    assert gate.held == 500
    gate.release(500)
    thread.join(5)
    assert passed[-1] == 10
    assert gate.peak == 500


def test_a_closed_gate_lets_nobody_wait():
    gate, ended = ByteGate(10), threading.Event()
    gate.acquire(10)

    def decode():
        with pytest.raises(Closed):
            gate.acquire(1)
        ended.set()

    threading.Thread(target=decode).start()
    gate.close()
    assert ended.wait(5)


@pytest.fixture
async def captioner(request):
    settings = CaptionSettings(model="stub", strategy="bottom_up", words=(7, 9))
    async with Endpoint(EndpointSettings("http://127.0.0.1:9", "stub")) as endpoint:
        yield EndpointCaptioner(endpoint, settings)


async def test_the_prompt_of_a_leaf(captioner):
    grid = TimeGrid(3600.0, 6, 3)
    frames = SegmentFrames((2, 5, 1), [1000.0, 1001.25], [1000.0, 1001.2], [b"one", b"two"])
    segment = Segment(grid, (2, 5, 1), [Line(1000.0, 1001.0, "so"), Line(1001.0, 1002.0, "so costs $words")], frames)
    (message,) = captioner.messages(segment)
    text, *images = message["content"]
    assert [image["image_url"]["url"] for image in images] == [b"one", b"two"]
    assert "segment [2, 5, 1] of a video: 16:40 to 16:56 of 1:00:00" in text["text"]
    assert "2 frames" in text["text"]
    assert "1000.0, 1001.2" in text["text"]
    assert "at most 7 words" in text["text"]
    assert "Said meanwhile:\nso costs $words\n" in text["text"]


async def test_the_prompt_of_a_parent(captioner):
    segment = Segment(TimeGrid(60.0, 2, 3), (2, 1), children=["first", "then"])
    (message,) = captioner.messages(segment)
    assert "[2, 1, 1] first\n[2, 1, 2] then" in message["content"]
    assert "at most 9 words" in message["content"]
    assert captioner.needs_children(2, 3)
    assert not captioner.needs_children(3, 3)


def test_the_stub_answers_from_what_it_is_shown(tmp_path):
    def jpeg(number):
        Image.fromarray(numbered_image(number)).save(tmp_path / "x.jpg")
        return (tmp_path / "x.jpg").read_bytes()

    black, white = jpeg(0), jpeg(65535)
    caption = describe(["a"], [black, white])
    assert "2 frames, 2 of 160x96" in caption
    assert "#000000 and #ffffff" in caption
    assert caption == describe(["a"], [black, white])
    assert len({caption, describe(["b"], [black, white]), describe(["a"], [white, black])}) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"captioner": "psychic"},
        {"strategy": "sideways"},
        {"model": ""},
        {"words": ()},
        {"words": (0,)},
        {"depth": "deep"},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError) as error:
        CaptionSettings(**{"model": "m", **wrong})
    assert {error.value.field: error.value.value} == wrong
