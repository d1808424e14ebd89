import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from data_gen.frames import index_video, segment_frames
from data_gen.frames.video_files import declared_size
from navigation import InputError, TimeGrid
from runtime.testing.numbered_clip import write_numbered_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    write_numbered_clip(path, [40 * number for number in range(200)], options={"bf": "2"})
    return path


def write_audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_durations_and_frames(clip):
    index = index_video(clip)
    assert index.duration == pytest.approx(8.0)
    assert len(index.pts) == 200
    assert index.warnings == ()
    assert [index.seconds(position) for position in (0, 1, 199)] == pytest.approx([0, 0.04, 7.96])
    assert index.shown_at(np.array([0.0, 0.039, 0.04, 7.99, 100.0])).tolist() == [0, 0, 1, 199, 199]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv"])
@pytest.mark.parametrize(("options", "closed"), [({"bf": "3"}, True), ({"x264-params": "open-gop=1:bframes=3"}, False)])
def test_a_group_is_closed_where_its_keyframe_is_an_idr_picture(tmp_path, suffix, options, closed):
    path = tmp_path / f"a{suffix}"
    write_numbered_clip(path, [40 * number for number in range(150)], options={"sc_threshold": "0", **options})
    index = index_video(path)
    assert index.closed.tolist() == [True, closed, closed]


def test_a_group_of_another_codec_is_not_known_to_be_closed(tmp_path):
    path = tmp_path / "a.mpg"
    ticks = range(100)
    write_numbered_clip(path, ticks, time_base=Fraction(1, 25), codec="mpeg2video")
    index = index_video(path)
    assert len(index.closed) == len(index.keyframes) > 1
    assert not index.closed.any()


def test_a_wrong_duration_in_the_header_is_not_believed(clip, tmp_path):
    data = bytearray(clip.read_bytes())
    place = data.index(b"mvhd") + 4 + 16
    data[place : place + 4] = (10_000_000).to_bytes(4, "big")
    (tmp_path / "wrong.mp4").write_bytes(data)
    index = index_video(tmp_path / "wrong.mp4")
    assert index.duration == pytest.approx(8.0)


def test_no_duration_in_the_header(clip, tmp_path):
    whole = tmp_path / "whole.mkv"
    write_numbered_clip(whole, [40 * number for number in range(200)])
    data = bytearray(whole.read_bytes())
    place = data.index(b"\x44\x89\x88")  # Duration, 8 bytes: overwritten by a Void element of the same 11 bytes.
    data[place : place + 11] = b"\xec\x89" + bytes(9)
    (tmp_path / "a.mkv").write_bytes(data)
    index = index_video(tmp_path / "a.mkv")
    assert index.duration == pytest.approx(8.0, abs=0.05)
    assert "no duration in the header" in index.warnings[0]
    assert sum(1 for _ in segment_frames(index, TimeGrid(index.duration, 2, 1))) == 2


def test_a_longer_duration_in_a_matroska_header_is_told(tmp_path):
    write_numbered_clip(tmp_path / "a.mkv", [40 * number for number in range(200)])
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    place = data.index(b"\x44\x89\x88") + 3
    data[place : place + 8] = struct.pack(">d", 60_000.0)
    (tmp_path / "a.mkv").write_bytes(data)
    index = index_video(tmp_path / "a.mkv")
    assert index.duration == pytest.approx(8.0)
    assert index.warnings == ("the header says 60.0 s; its frames last 8.0 s",)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda clip, path: path.write_bytes(b""), "file"),
        (lambda clip, path: path.write_bytes(bytes(range(256)) * 40), "file"),
        (lambda clip, path: path.write_bytes(clip.read_bytes()[:2000]), "file"),
        (lambda clip, path: write_audio(path), "streams"),
        (lambda clip, path: path.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"), "file"),
        (lambda clip, path: path.write_text("ffconcat version 1.0\nfile a.mp4\n"), "file"),
        (lambda clip, path: path.mkdir(), "file"),
    ],
    ids=["zero bytes", "noise", "cut short", "audio only", "playlist", "concat", "folder"],
)
def test_what_is_no_video_is_refused_by_name(clip, tmp_path, make, field):
    path = tmp_path / "bad.mp4"
    make(clip, path)
    with pytest.raises(InputError) as error:
        index_video(path)
    assert error.value.field == field
    assert error.value.source == str(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        index_video(tmp_path / "none.mp4")
    assert error.value.field == "file"


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")])
def test_a_file_shorter_than_it_says_is_refused_or_taken_as_far_as_it_goes(tmp_path, name, codec):
    whole, cut = tmp_path / name, tmp_path / f"cut-{name}"
    write_numbered_clip(whole, range(200), time_base=Fraction(1, 25), codec=codec)
    data = whole.read_bytes()
    assert index_video(whole).warnings == ()
    for length in (len(data) * 6 // 10, len(data) * 19 // 20):
        cut.write_bytes(data[:length])
        with pytest.raises(InputError) as error:
            index_video(cut)
        assert error.value.field == "file"
        assert error.value.value.startswith(f"{length} of ")
    index = index_video(cut, accept_damaged=True)
    assert 4.0 < index.duration <= 8.0
    assert "cut short" in index.warnings[0]


def test_a_recording_that_leaves_its_size_open_is_taken(tmp_path):
    write_numbered_clip(tmp_path / "a.mkv", [40 * number for number in range(200)])
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    place = data.index(b"\x18\x53\x80\x67") + 4
    data[place : place + 8] = b"\x01" + b"\xff" * 7
    (tmp_path / "a.mkv").write_bytes(data)
    assert declared_size(tmp_path / "a.mkv") is None
    assert index_video(tmp_path / "a.mkv").warnings == ()


def test_an_avi_whose_header_counts_repeated_frames_is_taken(tmp_path):
    write_numbered_clip(tmp_path / "a.avi", [40 * number for number in range(100)], codec="mpeg4")
    index = index_video(tmp_path / "a.avi")
    assert len(index.pts) == 100
    assert index.duration == pytest.approx(4.0, abs=0.05)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\xff", b"\x1a\x45\xdf\xa3\x81"])
def test_a_head_that_tells_nothing(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    assert declared_size(tmp_path / "a") is None


def test_a_file_cut_in_its_pictures_is_refused_or_taken_as_far_as_it_goes(clip, tmp_path):
    fast = tmp_path / "fast.mp4"
    with av.open(str(clip)) as source, av.open(str(fast), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = fast.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(InputError) as error:
        index_video(cut)
    assert error.value.field == "file"
    assert error.value.value.endswith(" of 200 frames")
    index = index_video(cut, accept_damaged=True)
    assert 2.0 < index.duration < 7.0
    assert "cut short" in index.warnings[0]
    segments = segment_frames(index, TimeGrid(index.duration, 2, 2), accept_damaged=True)
    assert sum(1 for _ in segments) == 6
