import asyncio
import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest

from benchmarks.teacher_server import TeacherServer
from data_gen.clips import ClipEndpointAnswerer, ClipService, SharedCache, leaf_frames
from data_gen.frames import FrameRecipe, index_video, passage, segment_frames
from data_gen.frames.jpeg import JpegMaker
from navigation import CaptionTree, InputError, NavigationEnvironment, TimeGrid, TreeStore
from runtime import EndpointSettings
from runtime.testing.numbered_clip import read_number, write_numbered_clip
from tests.data_gen.frames.odd_videos import CONTAINERS, Lying, write_late_sound


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_numbered_clip(folder / "even.mp4", [40 * number for number in range(400)])
    uneven = [40 * number + (13 if number % 3 else 0) for number in range(400)]
    write_numbered_clip(folder / "uneven.mp4", uneven)
    return folder


def digests(segment):
    """Short, so that a difference is printed in no time."""
    return [hashlib.sha256(jpeg).hexdigest()[:8] for jpeg in segment.jpegs]


@pytest.mark.parametrize("name", ["even", "uneven"])
def test_the_frames_of_a_leaf_are_those_of_the_whole_pass(videos, name):
    index = index_video(videos / f"{name}.mp4")
    grid = TimeGrid(index.duration, 4, 2)
    recipe = FrameRecipe((7,), (160,), 90)
    for segment in segment_frames(index, grid, recipe, list(grid.paths(2))):
        own = leaf_frames(index, *grid.interval(segment.path), 7, 160, 90)
        assert own.shown == segment.shown
        assert list(map(read_number, own.jpegs)) == list(map(read_number, segment.jpegs))


@pytest.mark.parametrize(("name", "codec", "options"), CONTAINERS)
def test_a_leaf_is_the_same_bytes_as_in_the_whole_pass(tmp_path, name, codec, options):
    write_numbered_clip(tmp_path / name, range(400), time_base=Fraction(1, 25), codec=codec, options=options)
    index = index_video(tmp_path / name)
    grid = TimeGrid(index.duration, 4, 2)
    for segment in segment_frames(index, grid, FrameRecipe((7,), (160,), 90), list(grid.paths(2))):
        own = leaf_frames(index, *grid.interval(segment.path), 7, 160, 90, segment.path)
        assert (own.asked, own.shown) == (segment.asked, segment.shown)
        assert digests(own) == digests(segment)


def test_a_leaf_behind_sound_that_first_shows_up_in_the_middle(tmp_path):
    whole, late = map(index_video, write_late_sound(tmp_path))
    for start in (0.0, 4.0, 6.0):
        assert leaf_frames(late, start, start + 2, 5, 160) == leaf_frames(whole, start, start + 2, 5, 160)


def test_where_seeking_leads_past_the_leaf_it_is_read_from_the_beginning(videos, monkeypatch):
    index = index_video(videos / "even.mp4")
    expected, real = leaf_frames(index, 8.0, 10.0, 5, 160), passage.open_video

    def past(container, offset, options):
        container.seek(int(index.keyframes[-1]), **options)

    monkeypatch.setattr(passage, "open_video", lambda path: Lying(real(path), past))
    assert leaf_frames(index, 8.0, 10.0, 5, 160) == expected


def test_a_seek_that_fails_or_a_frame_that_makes_no_jpeg_is_no_other_error(videos, monkeypatch):
    index = index_video(videos / "even.mp4")
    expected, real = leaf_frames(index, 8.0, 10.0, 5, 160), passage.open_video

    def refusing(container, offset, options):
        raise av.error.PermissionError(1, "seeking is not for this file")

    def unfit(maker, frame):
        raise av.error.InvalidDataError(1, "pixels of another world")

    monkeypatch.setattr(passage, "open_video", lambda path: Lying(real(path), refusing))
    assert leaf_frames(index, 8.0, 10.0, 5, 160) == expected
    monkeypatch.setattr(JpegMaker, "make", unfit)
    with pytest.raises(InputError) as error:
        leaf_frames(index, 8.0, 10.0, 5, 160)
    assert error.value.source.endswith("even.mp4")
    assert "another world" in error.value.value


def test_a_leaf_of_which_nothing_can_be_decoded_is_refused_by_name(tmp_path):
    path = tmp_path / "a.mp4"
    write_numbered_clip(path, [40 * number for number in range(500)], options={"g": "10", "bf": "0"})
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    noise = np.random.default_rng(0).integers(0, 256, (end - begin) // 3, dtype=np.uint8).tobytes()
    data[begin + len(noise) : begin + 2 * len(noise)] = noise
    path.write_bytes(data)
    index = index_video(path)
    with pytest.raises(InputError) as error:
        leaf_frames(index, 10.0, 11.0, 5, 160)
    assert error.value.source == str(path)
    assert error.value.field == "video stream"
    assert list(map(read_number, leaf_frames(index, 2.0, 3.0, 5, 160).jpegs)) == [52, 57, 62, 67, 72]


def test_more_frames_than_the_span_has_repeat_the_one_on_screen(videos):
    index = index_video(videos / "even.mp4")
    clip = leaf_frames(index, 4.0, 4.1, 8, 160)
    assert list(map(read_number, clip.jpegs)) == [100, 100, 100, 101, 101, 101, 102, 102]


def test_a_leaf_is_read_from_its_own_keyframe_where_groups_are_closed(tmp_path, monkeypatch):
    read, real = [], passage.demuxed

    def noting(container, stream):
        for packet in real(container, stream):
            read.append(packet.pts)
            yield packet

    monkeypatch.setattr(passage, "demuxed", noting)
    ticks = [40 * number for number in range(400)]
    for name, options, before in (("closed", {"bf": "3"}, 0), ("open", {"x264-params": "open-gop=1:bframes=3"}, 1)):
        path = tmp_path / f"{name}.mp4"
        write_numbered_clip(path, ticks, options={"g": "25", "sc_threshold": "0", **options})
        index, read[:] = index_video(path), []
        leaf_frames(index, 8.0, 8.5, 3, 160)
        own = index.keyframes.searchsorted(read[0])
        assert own == index.keyframes.searchsorted(index.ticks(np.array(8.0)), side="right") - 1 - before


@pytest.mark.parametrize(
    ("parts", "number", "broken", "shown"), [(10, 6, 200, 7.96), (15, 8, 175, 6.96)],
    ids=["first of its group", "in the middle of its group"],
)  # fmt: skip
def test_where_a_leaf_s_first_group_is_broken_it_shows_what_the_whole_pass_shows(
    tmp_path, parts, number, broken, shown
):
    path = tmp_path / "a.mp4"
    ticks = [40 * number for number in range(400)]
    write_numbered_clip(path, ticks, options={"g": "25", "bf": "0", "sc_threshold": "0"})
    with av.open(str(path)) as container:
        spans = [(each.pos, each.size) for each in container.demux(video=0) if each.size]
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(0)
    for position, size in spans[broken : broken + 25]:
        data[position : position + size] = noise.integers(0, 256, size, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    index = index_video(path)
    grid, recipe = TimeGrid(index.duration, parts, 1), FrameRecipe((5,), (160,), 75)
    whole = {each.path: each for each in segment_frames(index, grid, recipe, accept_damaged=True)}
    own = leaf_frames(index, *grid.interval((number,)), 5, 160, 75, (number,))
    assert own.shown == whole[(number,)].shown
    assert digests(own) == digests(whole[(number,)])
    assert own.shown[0] == shown


async def test_a_value_is_made_once_for_all_who_ask():
    cache, made = SharedCache(100, len), []

    async def make():
        made.append(1)
        await asyncio.sleep(0)
        return "x" * 60

    assert set(await asyncio.gather(*(cache.get("a", make) for _ in range(9)))) == {"x" * 60}
    await cache.get("a", make)
    assert (len(made), cache.shared) == (1, 9)
    await cache.get("b", make)
    assert cache.size == 60
    await cache.get("a", make)
    assert len(made) == 3


async def test_a_failure_is_told_to_all_and_not_kept():
    cache = SharedCache(100, len)

    async def fail():
        await asyncio.sleep(0)
        raise OSError("no")

    found = await asyncio.gather(*(cache.get("a", fail) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, OSError) for error in found)

    async def make():
        return "x"

    assert await cache.get("a", make) == "x"


def make_tree(videos, duration=16.0):
    grid = TimeGrid(duration, 2, 2)
    return CaptionTree("even", grid, dict.fromkeys(grid.paths(), "a clip"))


async def test_episodes_share_clips_and_answers(videos):
    sent = []

    async def ask(key, make_messages):
        (message,) = await make_messages()
        sent.append((key, message["content"]))
        return f"answer {len(sent)}"

    tree = make_tree(videos)
    with ClipEndpointAnswerer(videos, ask, asyncio.get_running_loop(), FrameRecipe((4,), (160,))) as answerer:
        answers = await asyncio.gather(*(asyncio.to_thread(answerer.answer, tree, (1, 2), "who?") for _ in range(5)))
        await asyncio.to_thread(answerer.answer, tree, (1, 2), "where?")
        with pytest.raises(InputError) as error:
            await asyncio.to_thread(answerer.answer, CaptionTree("gone", tree.grid, tree.captions), (1, 1), "who?")
        assert error.value.field == "video_id"
        with pytest.raises(InputError) as error:
            await asyncio.to_thread(answerer.answer, make_tree(videos, 600.0), (2, 2), "who?")
        assert error.value.field == "duration"
    assert set(answers) == {"answer 1"}
    assert len(sent) == 2
    assert answerer.clips.made == 1
    text, *images = sent[0][1]
    assert "0:04 to 0:08" in text["text"]
    numbers = [read_number(image["image_url"]["url"]) for image in images]
    assert numbers == [112, 137, 162, 187]


async def test_the_service_answers_for_an_environment_over_http(videos, tmp_path):
    stub = TeacherServer([], TreeStore(tmp_path))
    url = await stub.start()
    try:
        trees = TreeStore(tmp_path)
        trees.save(make_tree(videos))
        environment = NavigationEnvironment(trees, ClipService(videos, EndpointSettings(url, "stub")))
        environment.reset(video_id="even")
        environment.get_caption([1, 2])
        assert "Stub answer" in await asyncio.to_thread(environment.video_qa, [1, 2], "who?")
    finally:
        await stub.close()
    assert stub.stats["images"] == 16
