"""Sound on the video's clock, whatever the container does to it, and the pieces that it is cut into."""

from fractions import Fraction

import av
import numpy as np
import pytest

from data_gen.frames import index_video
from data_gen.lines.pieces import LONGEST, blocks, pieces, quietest
from data_gen.lines.sound import RATE, Sound, find_track
from navigation import InputError
from runtime.testing.numbered_clip import write_numbered_clip

TONE = 0.5 * np.sin(np.arange(RATE) * 440 * 2 * np.pi / RATE)
"""One second."""


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "picture.mp4"
    write_numbered_clip(path, [100 * number for number in range(80)])
    return path


@pytest.fixture
def video_with(tmp_path, picture):
    """Eight seconds of pictures with sound tracks `(channels, layout, places of a tone in s, language)`."""

    def make(*tracks, name="a.mkv", codec="pcm_s16le"):
        path = tmp_path / name
        with av.open(str(path), "w") as target, av.open(str(picture)) as source:
            moving = source.streams.video[0]
            copy = target.add_stream_from_template(moving)
            packets = [(packet, copy) for packet in source.demux(moving) if packet.dts is not None]
            streams = []
            for _, layout, _, language in tracks:
                streams.append(target.add_stream(codec, rate=RATE, layout=layout))
                streams[-1].metadata["language"] = language
            for (channels, layout, places, _), stream in zip(tracks, streams, strict=True):
                samples = (np.outer(TONE, channels) * 32767).astype(np.int16)  # [samples, channels]
                for place in places:
                    for begin in range(0, RATE, 1000):
                        part = np.ascontiguousarray(samples[begin : begin + 1000].reshape(1, -1))
                        frame = av.AudioFrame.from_ndarray(part, format="s16", layout=layout)
                        frame.rate, frame.time_base = RATE, Fraction(1, RATE)
                        frame.pts = round(place * RATE) + begin
                        packets += [(packet, stream) for packet in stream.encode(frame)]
                packets += [(packet, stream) for packet in stream.encode(None)]
            for packet, stream in sorted(packets, key=lambda each: each[0].dts * each[0].time_base):
                packet.stream = stream
                target.mux(packet)
        return path

    return make


def heard(path, language=""):
    """When the tone is heard: starts and ends in seconds, and how long the sound is."""
    track = find_track(path, language)
    samples = np.concatenate(list(Sound(index_video(path), track.number)))
    loud = np.abs(samples[: len(samples) // 160 * 160].reshape(-1, 160)).max(axis=1) > 0.05
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]]))) / 100
    return [(round(float(a), 1), round(float(b), 1)) for a, b in zip(edges[::2], edges[1::2], strict=True)], len(
        samples
    )


@pytest.mark.parametrize(
    ("channels", "layout", "places", "expected"),
    [
        ([1], "mono", [2], [(2, 3)]),
        ([1], "mono", [0, 4], [(0, 1), (4, 5)]),
        ([1, -1], "stereo", [1], [(1, 2)]),
        ([1, 0], "stereo", [1], [(1, 2)]),
        ([0, 0, 1, 0, 0, 0], "5.1", [1], [(1, 2)]),
    ],
    ids=["late", "hole", "antiphase", "left only", "middle of 5.1"],
)
def test_sound_is_heard_where_the_video_has_it(video_with, channels, layout, places, expected):
    found, length = heard(video_with((channels, layout, places, "eng")))
    assert found == expected
    assert length <= 8 * RATE


def test_compressed_sound_in_mp4_keeps_its_place(video_with):
    found, _ = heard(video_with(([1], "mono", [3], "eng"), name="a.mp4", codec="aac"))
    assert found[0][0] == pytest.approx(3, abs=0.11)


def test_the_track_is_taken_by_its_language(video_with):
    path = video_with(([1], "mono", [1], "ger"), ([1], "mono", [4], "eng"))
    assert heard(path)[0] == [(1, 2)]
    assert heard(path, "English")[0] == [(4, 5)]
    assert "track 2 (en) of 2" in find_track(path, "en").note
    with pytest.raises(InputError) as error:
        find_track(path, "fr")
    assert error.value.field == "--audio-language"
    assert "de, en" in error.value.hint


def test_a_video_without_sound_has_no_track(picture):
    assert find_track(picture) is None


def test_blocks_are_the_same_however_the_sound_comes():
    chance = np.random.default_rng(0)
    sound = chance.normal(0, 0.1, 250 * RATE).astype(np.float32)
    sound[50 * RATE : 51 * RATE] = 0
    whole = [(start, len(block)) for start, block in blocks([sound])]
    assert whole == [(start, len(block)) for start, block in blocks(np.array_split(sound, 37))]
    assert whole[1][0] == pytest.approx(50.5 * RATE, abs=RATE / 2)
    assert sum(length for _, length in whole) == len(sound)
    assert list(blocks([])) == []


def test_pieces_hold_all_speech_and_are_cut_in_quiet():
    sound = np.ones(100 * RATE, np.float32)
    sound[24 * RATE : 25 * RATE] = 0
    spans = [(0, 60 * RATE), (61 * RATE, 63 * RATE), (70 * RATE, 71 * RATE)]
    found = list(pieces(1000, sound, spans))
    assert all(len(piece.samples) <= LONGEST * RATE for piece in found)
    assert 24 * RATE < len(found[0].samples) < 25 * RATE
    assert [piece.start - 1000 for piece in found][-1] == 70 * RATE
    covered = [(begin - 1000, end - 1000) for piece in found for begin, end in piece.spans]
    assert sum(end - begin for begin, end in covered) == 63 * RATE
    assert len({piece.key for piece in found}) == len(found)


def test_the_quietest_place_of_less_than_a_window_is_its_end():
    assert quietest(np.ones(100, np.float32), 1.0) == 100
