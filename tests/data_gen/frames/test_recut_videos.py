"""Videos that other tools cut, joined and stamped: each segment alone is what it is in the whole, and time goes on."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from data_gen.frames import FrameRecipe, index_video, segment_frames
from data_gen.frames.clock import gaps
from navigation import InputError, TimeGrid
from runtime.testing.numbered_clip import read_number, write_numbered_clip
from tests.data_gen.frames.recut_videos import (
    CASES,
    behind_its_keyframe,
    cut,
    joined,
    numbered,
    packets_of,
    stamped,
)

SMALL = FrameRecipe((5, 9), (160, 80))


def whole_and_parts(path, width=3):
    """The whole pass by segment, after each segment alone was found equal to it."""
    index = index_video(path)
    grid = TimeGrid(index.duration, width, 2)
    whole = {each.path: each for each in segment_frames(index, grid, SMALL)}
    for segment, expected in whole.items():
        (alone,) = segment_frames(index, grid, SMALL, {segment})
        # Compared without their bytes first, so that a difference is printed in no time.
        assert (alone.path, alone.shown, alone.replaced) == (expected.path, expected.shown, expected.replaced)
        assert alone.jpegs == expected.jpegs
    return index, whole


def numbers_by_time(whole, width=3):
    """Asked times of the leaves and the numbers on their frames, in order."""
    leaves = [whole[(high, low)] for high in range(1, width + 1) for low in range(1, width + 1)]
    return [(time, read_number(jpeg)) for leaf in leaves for time, jpeg in zip(leaf.asked, leaf.jpegs, strict=True)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """12 s at 25 frames a second, a keyframe a second: with frames out of order, with open groups, and without."""
    folder = tmp_path_factory.mktemp("sources")
    numbered(folder / "closed.mp4", 300, bf="2")
    numbered(folder / "open.ts", 300, **{"x264-params": "open-gop=1:bframes=3"})
    numbered(folder / "plain.mp4", 300, bf="0")
    return folder


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("source", ["closed.mp4", "open.ts", "plain.mp4"])
@pytest.mark.parametrize(
    "seconds", [pytest.param("2", marks=pytest.mark.slow), "2.4", pytest.param("5.96", marks=pytest.mark.slow)]
)
def test_a_cut_by_stream_copy(sources, tmp_path, suffix, source, seconds):
    path = cut(sources / source, tmp_path / f"a{suffix}", seconds)
    index, whole = whole_and_parts(path)
    assert len(index.pts) == sum(not packet.is_discard and packet.pts is not None for packet in packets_of(path))
    found = numbers_by_time(whole)
    # Frames that refer to what was cut off cannot be decoded: they are there where an edit list hides them.
    clean = source != "open.ts" or suffix in {".mp4", ".mov"}
    last = 300 - len(index.pts)
    for time, number in found:
        if clean or time > 0.5:
            assert number == last + max(0, int((time - index.seconds(0)) * 25 + 1e-6))


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
@pytest.mark.parametrize("source", ["closed.mp4", "open.ts"])
@pytest.mark.parametrize("lost", [pytest.param(5, marks=pytest.mark.slow), 20])
def test_what_begins_inside_a_group_lacks_its_beginning_and_nothing_else(sources, tmp_path, suffix, source, lost):
    path = behind_its_keyframe(sources / source, tmp_path / f"a{suffix}", lost)
    packets = packets_of(path)
    key = next(packet for packet in packets if packet.is_keyframe)
    index, whole = whole_and_parts(path)
    assert index.pts[0] == key.pts
    assert len([warning for warning in index.warnings if "missing" in warning]) == 1
    first = read_number(whole[(1, 1)].jpegs[0])
    assert first in {25, 24}
    for time, number in numbers_by_time(whole):
        assert number == first + max(0, int((time - index.seconds(0)) * 25 + 1e-6))
    assert not any(each.replaced for each in whole.values())


def test_a_part_of_a_video_is_not_held_to_the_limit_of_the_whole(tmp_path):
    path = numbered(tmp_path / "a.mp4", 1000, bf="0")
    broken = packets_of(path)[500:515]
    data = bytearray(path.read_bytes())
    for packet in broken:
        data[packet.pos + 5 : packet.pos + packet.size] = np.random.default_rng(1).bytes(packet.size - 5)
    path.write_bytes(data)
    index = index_video(path)
    grid = TimeGrid(index.duration, 8, 2)
    whole = {each.path: each for each in segment_frames(index, grid, SMALL)}
    harmed = [each for each in whole.values() if each.replaced > len(each.asked) * 0.05]
    assert harmed
    for each in harmed:
        (alone,) = segment_frames(index, grid, SMALL, {each.path})
        assert (alone.shown, alone.replaced) == (each.shown, each.replaced)


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize(
    ("counts", "begins"), [((100, 75), (0, 0)), ((50, 100, 60), (0, 0, 0)), ((60, 80), (9000, 400))]
)
def test_joined_files_follow_each_other(tmp_path, suffix, counts, begins):
    parts = []
    for place, (count, begin) in enumerate(zip(counts, begins, strict=True)):
        part = tmp_path / f"{place}{suffix}"
        ticks = [begin // 40 + number for number in range(count)]
        codec = "mpeg2video" if suffix == ".mpg" else "libx264"
        write_numbered_clip(part, ticks, Fraction(1, 25), codec=codec, options={"g": "25", "bf": "2"})
        parts.append(part)
    index, whole = whole_and_parts(joined(tmp_path / f"joined{suffix}", *parts))
    assert len(index.pts) == sum(counts)
    assert index.duration == pytest.approx(sum(counts) / 25, abs=0.2)
    assert (
        len([warning for warning in index.warnings if warning.startswith("time stamps begin again")]) == len(counts) - 1
    )
    expected = [number for count in counts for number in range(count)]
    # An MPEG program stream stamps the last frames before a seam a little late.
    late = 3 if suffix == ".mpg" else 0
    for time, number in numbers_by_time(whole):
        place = max(0, int((time - index.seconds(0)) * 25 + 1e-6))
        assert number in expected[max(0, place - late) : place + 1]


def doubled_once(place, ticks):
    return ticks - 640 if place == 130 else ticks


def doubled_in_every_fourth(place, ticks):
    return ticks - 640 if place % 4 == 3 else ticks


@pytest.mark.parametrize(("stamp", "count"), [(doubled_once, 1), (doubled_in_every_fourth, 75)])
def test_of_two_frames_with_one_stamp_the_later_is_on_screen(sources, tmp_path, stamp, count):
    path = stamped(sources / "plain.mp4", tmp_path / "a.mkv", stamp)
    index, whole = whole_and_parts(path)
    assert len(index.pts) == 300
    assert sum(warning.startswith(f"{count} frames have the time stamp") for warning in index.warnings) == 1
    ticks = [stamp(place, 640 * place) for place in range(300)]
    for time, number in numbers_by_time(whole):
        shown = [place for place, tick in enumerate(ticks) if tick / 16000 <= time - index.seconds(0) + 1e-6]
        assert number == (shown[-1] if shown else 0)


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
@pytest.mark.parametrize(
    "seconds", [pytest.param(100, marks=pytest.mark.slow), 1000, pytest.param(90000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("frames_out_of_order", ["0", "2"])
def test_a_jump_is_no_still_picture(tmp_path, suffix, seconds, frames_out_of_order):
    ticks = [40 * number + (1000 * seconds if number >= 160 else 0) for number in range(300)]
    path = tmp_path / f"a{suffix}"
    write_numbered_clip(path, ticks, options={"g": "25", "bf": frames_out_of_order})
    index, whole = whole_and_parts(path)
    assert index.duration == pytest.approx(12.0, abs=0.2)
    (warning,) = [warning for warning in index.warnings if warning.startswith("time stamps jump")]
    assert " at 6.4 s" in warning
    assert f"{seconds:,}.0" in warning
    for time, number in numbers_by_time(whole):
        assert number == int((time - index.seconds(0)) * 25 + 1e-6)


@pytest.mark.parametrize(
    "times", [[0, 40, 95, 400, 420, 900], [*np.arange(0, 20, 0.04), 260, *np.arange(260.04, 700, 0.04)], [5.0], [1, 2]]
)
def test_slides_and_long_still_pictures_are_no_jumps(times):
    assert gaps(np.round(np.array(times) * 1000).astype(np.int64), 0.001) == []


def corners(path):
    index = index_video(path)
    segment = next(segment_frames(index, TimeGrid(index.duration, 2, 1), FrameRecipe((1,), (160,))))
    image = Image.open(io.BytesIO(segment.jpegs[0])).convert("RGB")
    width, height = image.size
    found = [image.getpixel((x, y)) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    names = {(True, False, False): "R", (False, True, False): "G", (False, False, True): "B", (True, True, True): "W"}
    return (width, height), "".join(names[tuple(part > 127 for part in pixel)] for pixel in found)


def write_corners(path, matrix):
    """Red, green, blue and white in the corners, to be shown by a display matrix ((a, b), (c, d))."""
    picture = np.zeros((96, 160, 3), dtype=np.uint8)
    picture[:48, :80], picture[:48, 80:], picture[48:, :80], picture[48:] [:, 80:] = (
        (220, 20, 20), (20, 220, 20), (20, 20, 220), (230, 230, 230),
    )  # fmt: skip
    (a, b), (c, d) = matrix
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.set_display_matrix([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30])
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        # What FFmpeg's autorotation shows: its filters for the matrix in fftools/ffmpeg_filter.c.
        (((1, 0), (0, 1)), "RGBW"), (((-1, 0), (0, 1)), "GRWB"), (((1, 0), (0, -1)), "BWRG"),
        (((-1, 0), (0, -1)), "WBGR"), (((0, 1), (-1, 0)), "BRWG"), (((0, -1), (1, 0)), "GWRB"),
        (((0, 1), (1, 0)), "RBGW"), (((0, -1), (-1, 0)), "WGBR"),
    ],
)  # fmt: skip
def test_all_eight_orientations(tmp_path, suffix, matrix, expected):
    write_corners(tmp_path / f"a{suffix}", matrix)
    size = (160, 96) if matrix[0][0] else (96, 160)
    assert corners(tmp_path / f"a{suffix}") == (size, expected)


def write_sound(path, seconds, pictures=0, cover=False):
    """A soundtrack of silence, with so many pictures in its first second."""
    with av.open(str(path), "w") as container:
        stream = None
        if pictures:
            stream = container.add_stream("mjpeg", rate=25, options={"strict": "unofficial"})
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
            if cover:
                stream.disposition = av.stream.Disposition.attached_pic
        heard = container.add_stream("aac", rate=16000)
        for number in range(pictures):
            frame = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 200, dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        for second in range(seconds):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 16000 * second, Fraction(1, 16000)
            container.mux(heard.encode(frame))
        for each in filter(None, (stream, heard)):
            container.mux(each.encode())
    return path


@pytest.mark.parametrize("cover", [False, True], ids=["stream", "cover"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_one_still_picture_lasts_as_long_as_the_sound(tmp_path, suffix, cover):
    index, whole = whole_and_parts(write_sound(tmp_path / f"a{suffix}", 30, 1, cover))
    assert index.duration == pytest.approx(30.0, abs=0.2)
    assert len({jpeg for each in whole.values() for jpeg in each.jpegs}) == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sound_alone_is_taken_where_no_pictures_are_needed(tmp_path, suffix):
    path = write_sound(tmp_path / f"a{suffix}", 30)
    index = index_video(path, pictures=False)
    assert index.duration == pytest.approx(30.0, abs=0.3)
    assert not index.has_pictures
    with pytest.raises(InputError) as error:
        index_video(path)
    assert error.value.field == "streams"
    with pytest.raises(InputError) as error:
        list(segment_frames(index, TimeGrid(30.0, 2, 1), SMALL))
    assert error.value.field == "video stream"


def test_a_picture_that_stands_still_while_sound_goes_on_is_no_jump(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream, heard = container.add_stream("mjpeg", rate=25), container.add_stream("aac", rate=8000)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = 40 * number + (400_000 if number >= 30 else 0), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        for second in range(402):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, 8000 * second, Fraction(1, 8000)
            container.mux(heard.encode(frame))
        container.mux(heard.encode())
    index = index_video(path)
    assert index.duration == pytest.approx(402.4, abs=0.3)
    assert index.warnings == ()


cases = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there")


@cases
@pytest.mark.parametrize(
    ("name", "frames", "duration"),
    [
        ("begins_inside_a_group.ts", 2900, 117.92), ("cut_by_stream_copy.mp4", 2925, 117.0),
        ("one_doubled_stamp.mkv", 200, 40.0), ("two_joined.ts", 200, 40.064), ("twenty_seconds.mp4", 100, 20.0),
        ("plain.mp4", 20, 4.0),
    ],
)  # fmt: skip
def test_cases(name, frames, duration):
    index, _ = whole_and_parts(CASES / name, width=2)
    assert (len(index.pts), index.duration) == (frames, pytest.approx(duration))


@cases
def test_the_mirrored_case():
    assert (corners(CASES / "plain.mp4")[1], corners(CASES / "hflip.mp4")[1]) == ("RGBW", "GRWB")
