from fractions import Fraction

import av
import numpy as np
import pytest

from data_gen.frames import FrameRecipe, index_video, passage, segment_frames
from navigation import InputError, TimeGrid
from navigation.grid import sample_times
from runtime.testing.numbered_clip import read_number, write_numbered_clip
from tests.data_gen.frames.odd_videos import CONTAINERS, Lying, write_late_sound

SMALL = FrameRecipe(frames=(4, 8, 16), sides=(160, 120, 80))


def even_ticks(count):
    return [40 * number for number in range(count)]


def uneven_ticks(count):
    steps = np.random.default_rng(3).choice([7, 16, 33, 40, 400, 1500], size=count - 1)
    return [0, *np.cumsum(steps).tolist()]


def expected_number(ticks, time, base=0.001, first=0):
    """The rule, written the slow way: the last frame whose time is at most `time` plus 1 µs."""
    shown = [number for number, tick in enumerate(ticks) if (tick - first) * base <= time + 1e-6]
    return shown[-1] if shown else 0


@pytest.mark.parametrize("ticks", [even_ticks(601), uneven_ticks(500)], ids=["constant", "variable"])
@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", {"bf": "3", "b-pyramid": "normal"}),
        (".mp4", "libx264", {"x264-params": "open-gop=1:bframes=3"}),
        (".mkv", "libx264", {"bf": "2"}),
        (".mp4", "libx264", {"tune": "zerolatency"}),
        (".mp4", "libx264", {"flags": "+ildct+ilme", "x264-params": "tff=1"}),
        (".mp4", "libx264", {"x264-params": "intra-refresh=1"}),
        (".flv", "libx264", {"bf": "2"}),
        (".webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    ],
    ids=["pyramid", "open-gop", "mkv", "no-b-frames", "interlaced", "refresh", "flv", "vp9"],
)
def test_frames_asked_are_frames_delivered(tmp_path, ticks, suffix, codec, options):
    path = tmp_path / f"clip{suffix}"
    write_numbered_clip(path, ticks, codec=codec, options=options)
    index = index_video(path)
    grid = TimeGrid(index.duration, 4, 3)
    segments = list(segment_frames(index, grid, SMALL))
    assert sorted(segment.path for segment in segments) == sorted(grid.paths())
    for segment in segments:
        count = SMALL.count(len(segment.path), 3)
        assert segment.asked == sample_times(*grid.interval(segment.path), count)
        numbers = [read_number(jpeg) for jpeg in segment.jpegs]
        assert numbers == [expected_number(ticks, time) for time in segment.asked]
        assert segment.shown == pytest.approx([ticks[number] / 1000 for number in numbers])


def test_segments_come_as_soon_as_they_are_past(tmp_path):
    write_numbered_clip(tmp_path / "a.mp4", even_ticks(300))
    index = index_video(tmp_path / "a.mp4")
    grid = TimeGrid(index.duration, 3, 2)
    order = [segment.path for segment in segment_frames(index, grid, SMALL)]
    assert order == sorted(
        order, key=lambda path: (sample_times(*grid.interval(path), SMALL.count(len(path), 2))[-1], path)
    )


@pytest.mark.parametrize("options", [{"bf": "3"}, {"x264-params": "open-gop=1:bframes=3"}], ids=["closed", "open"])
def test_a_part_is_the_same_bytes_as_in_the_whole(tmp_path, options):
    write_numbered_clip(tmp_path / "a.mp4", even_ticks(800), options=options)
    index = index_video(tmp_path / "a.mp4")
    grid = TimeGrid(index.duration, 4, 3)
    whole = {segment.path: segment for segment in segment_frames(index, grid, SMALL)}
    for wanted in ({(1, 1, 1), (3, 2)}, {(4, 4, 4)}, {(2, 3, 1), (2, 3, 2), (4, 1, 1)}, set()):
        part = {segment.path: segment for segment in segment_frames(index, grid, SMALL, wanted)}
        assert part == {path: whole[path] for path in wanted}


@pytest.mark.parametrize(("name", "codec", "options"), CONTAINERS)
def test_seeking_to_a_part_delivers_the_same_bytes(tmp_path, name, codec, options):
    write_numbered_clip(tmp_path / name, range(400), time_base=Fraction(1, 25), codec=codec, options=options)
    index = index_video(tmp_path / name)
    grid = TimeGrid(index.duration, 4, 2)
    whole = {segment.path: segment for segment in segment_frames(index, grid, SMALL)}
    assert read_number(whole[(4, 4)].jpegs[-1]) == 396
    for wanted in ({(2, 4), (4,)}, *({path} for path in grid.paths(2))):
        assert {part.path: part for part in segment_frames(index, grid, SMALL, wanted)} == {
            path: whole[path] for path in wanted
        }


def refusing(container, offset, options):
    raise av.error.PermissionError(1, "seeking is not for this file")


def to_the_end(container, offset, options):
    """Behind the last keyframe there is no other: nothing can be decoded from there."""
    container.seek(offset, **options)
    for _ in container.demux(options["stream"]):
        pass


@pytest.mark.parametrize("seek", ["past", refusing, to_the_end])
def test_where_seeking_leads_astray_it_is_read_from_the_beginning(tmp_path, monkeypatch, seek):
    write_numbered_clip(tmp_path / "a.mp4", even_ticks(400))
    index = index_video(tmp_path / "a.mp4")
    grid = TimeGrid(index.duration, 4, 2)
    whole = {segment.path: segment for segment in segment_frames(index, grid, SMALL)}
    real, opened = passage.open_video, []

    def past(container, offset, options):
        container.seek(int(index.keyframes[-1]), **options)

    def opening(path):
        opened.append(path)
        return Lying(real(path), past if seek == "past" else seek)

    monkeypatch.setattr(passage, "open_video", opening)
    assert list(segment_frames(index, grid, SMALL, {(3, 1)})) == [whole[(3, 1)]]
    assert len(opened) == (1 if seek is refusing else 3)


def test_one_encoding_serves_all_times_of_a_frame(tmp_path):
    write_numbered_clip(tmp_path / "a.mp4", [0, 1000, 2000, 3000])
    index = index_video(tmp_path / "a.mp4")
    segments = {s.path: s for s in segment_frames(index, TimeGrid(index.duration, 2, 1), FrameRecipe((8,), (160,)))}
    assert len({id(jpeg) for jpeg in segments[(1,)].jpegs}) == 2
    assert segments[(1,)].byte_count == sum(len(jpeg) for jpeg in set(segments[(1,)].jpegs))


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_turned_videos_are_turned_upright(tmp_path, degrees):
    write_numbered_clip(tmp_path / "a.mp4", even_ticks(60), rotation=degrees)
    index = index_video(tmp_path / "a.mp4")
    segment = next(segment_frames(index, TimeGrid(index.duration, 2, 1), FrameRecipe((4,), (160,))))
    assert [read_number(jpeg, turned=degrees) for jpeg in segment.jpegs] == [
        expected_number(even_ticks(60), time) for time in segment.asked
    ]


def test_frames_before_the_first_one_show_the_first(tmp_path):
    ticks = [tick + 2000 for tick in even_ticks(100)]
    write_numbered_clip(tmp_path / "a.mkv", ticks)
    index = index_video(tmp_path / "a.mkv")
    for segment in segment_frames(index, TimeGrid(index.duration, 2, 2), SMALL):
        numbers = [read_number(jpeg) for jpeg in segment.jpegs]
        first = index.origin * float(index.time_base) * 1000
        assert numbers == [expected_number(ticks, time, first=first) for time in segment.asked]


def test_broken_packets_are_replaced_by_the_frame_before_or_refused(tmp_path):
    write_numbered_clip(tmp_path / "a.mp4", even_ticks(500), options={"g": "10", "bf": "0"})
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    begin, end = data.index(b"mdat"), data.index(b"moov")
    noise = np.random.default_rng(0).integers(0, 256, (end - begin) // 3, dtype=np.uint8).tobytes()
    data[begin + len(noise) : begin + 2 * len(noise)] = noise
    (tmp_path / "b.mp4").write_bytes(data)
    index = index_video(tmp_path / "b.mp4")
    grid = TimeGrid(index.duration, 4, 2)
    with pytest.raises(InputError) as error:
        list(segment_frames(index, grid, SMALL))
    assert error.value.source == str(tmp_path / "b.mp4")
    assert error.value.field == "video stream"
    segments = list(segment_frames(index, grid, SMALL, accept_damaged=True))
    assert sorted(segment.path for segment in segments) == sorted(grid.paths())
    for segment in segments:
        if segment.path in {(1, 1), (4, 4)}:
            assert [read_number(j) for j in segment.jpegs] == [
                expected_number(even_ticks(500), t) for t in segment.asked
            ]
        assert all(shown <= asked + 1e-6 for asked, shown in zip(segment.asked, segment.shown, strict=True))


def test_sound_that_first_shows_up_in_the_middle(tmp_path):
    whole, late = map(index_video, write_late_sound(tmp_path))
    assert late.duration == whole.duration
    grid = TimeGrid(whole.duration, 2, 2)
    assert list(segment_frames(late, grid, SMALL)) == list(segment_frames(whole, grid, SMALL))


def test_time_base_of_a_transport_stream(tmp_path):
    write_numbered_clip(tmp_path / "a.ts", even_ticks(200), time_base=Fraction(1, 1000), options={"bf": "2"})
    index = index_video(tmp_path / "a.ts")
    assert index.duration == pytest.approx(8.0, abs=0.05)
    for segment in segment_frames(index, TimeGrid(index.duration, 2, 2), SMALL):
        numbers = [read_number(jpeg) for jpeg in segment.jpegs]
        assert numbers == [expected_number(even_ticks(200), time) for time in segment.asked]


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("a.avi", "libx264", {"bf": "2"}), ("b.avi", "mpeg4", {"bf": "2"}), ("a.h264", "libx264", {"bf": "2"}),
    ("a.mpg", "mpeg2video", {"bf": "2"}), ("a.wmv", "wmv2", {}),
    ("a.mov", "libx265", {"x265-params": "log-level=none"}),
])  # fmt: skip
def test_containers_and_codecs(tmp_path, name, codec, options):
    """AVI and raw streams carry no presentation times: their frames are counted."""
    ticks = range(0, 120)
    write_numbered_clip(tmp_path / name, ticks, time_base=Fraction(1, 25), codec=codec, options=options)
    index = index_video(tmp_path / name)
    assert index.duration == pytest.approx(4.8)
    for segment in segment_frames(index, TimeGrid(index.duration, 3, 2), SMALL):
        numbers = [read_number(jpeg) for jpeg in segment.jpegs]
        assert numbers == [expected_number(ticks, time, base=0.04) for time in segment.asked]
