"""Which subtitles of a video are read: languages, forced ones, tracks inside, and what is said about it."""

import av
import pytest
from av.stream import Disposition

from data_gen.lines import find_subtitles
from data_gen.lines.languages import language_code, of_language
from navigation import InputError, Line
from runtime.testing.numbered_clip import write_numbered_clip

TEXT = "1\n00:00:01,000 --> 00:00:03,000\n{}\n\n2\n00:00:04,000 --> 00:00:05,500\nIf <i>x</i> < 3\nand y > 5\n\n"


@pytest.fixture
def beside(tmp_path):
    """Puts files beside `a.mp4`, which is there as a name only."""

    def make(*names):
        for name in names:
            (tmp_path / name).write_text(TEXT.format(name))
        return tmp_path / "a.mp4"

    return make


@pytest.fixture
def with_tracks(tmp_path):
    """`a.mkv` with text tracks `(language, forced)`, and without sound or with sound of a language."""
    picture = tmp_path / "picture.mp4"
    write_numbered_clip(picture, [100 * number for number in range(60)])

    def make(*tracks, sound=""):
        out = tmp_path / "a.mkv"
        with av.open(str(out), "w") as target, av.open(str(picture)) as source:
            moving = source.streams.video[0]
            copy = target.add_stream_from_template(moving)
            packets = [(packet, copy) for packet in source.demux(moving) if packet.dts is not None]
            if sound:
                heard = target.add_stream("pcm_s16le", rate=8000, layout="mono")
                heard.metadata["language"] = sound
                frame = av.AudioFrame(format="s16", layout="mono", samples=8000)
                frame.rate, frame.pts = 8000, 0
                frame.planes[0].update(bytes(16000))
                packets += [(packet, heard) for packet in heard.encode(frame)]
            texts = []
            for number, (language, forced) in enumerate(tracks):
                file = tmp_path / f"track{number}.txt"
                file.write_text(TEXT.format(language))
                texts.append(av.open(str(file), format="srt"))
                stream = target.add_stream_from_template(texts[-1].streams.subtitles[0])
                stream.metadata["language"] = language
                stream.disposition = Disposition.forced if forced else Disposition(0)
                packets += [(packet, stream) for packet in texts[-1].demux() if packet.dts is not None]
            for packet, stream in sorted(packets, key=lambda each: each[0].dts * each[0].time_base):
                packet.stream = stream
                target.mux(packet)
            for text in texts:
                text.close()
        return out

    return make


@pytest.mark.parametrize(
    ("names", "language", "taken"),
    [
        (["a.en.srt", "a.en.forced.srt"], "", "a.en.srt"),
        (["a.de.forced.srt", "a.en.vtt"], "", "a.en.vtt"),
        (["a.forced.srt", "a.en.srt"], "", "a.en.srt"),
        (["a.en.sdh.srt", "a.en.vtt"], "", "a.en.vtt"),
        (["a.en.hi.srt", "a.hi.srt"], "hi", "a.hi.srt"),
        (["a.srt", "a.en.srt"], "", "a.srt"),
        (["a.srt", "a.en.srt"], "eng", "a.en.srt"),
        (["a.en.srt", "a.de.srt"], "German", "a.de.srt"),
        (["a.pt-BR.srt", "a.en.srt"], "pt", "a.pt-BR.srt"),
        (["a.eng.srt", "a.en.vtt"], "", "a.eng.srt"),
        (["a.srt"], "fr", "a.srt"),
    ],
)
def test_files_beside_a_video(beside, names, language, taken):
    found = find_subtitles(beside(*names), language)
    assert found.path.name == taken
    assert (taken in found.note) == ((len(names) > 1 and (names[0] != "a.srt" or bool(language))) or language == "fr")


def test_a_forced_file_alone_is_read_and_said(beside):
    found = find_subtitles(beside("a.en.forced.srt")).read()
    assert found.read == ("a.en.forced.srt (en, forced)",)
    assert "foreign passages" in found.warnings()[0]


def test_several_languages_are_refused_with_their_names(beside):
    with pytest.raises(InputError) as error:
        find_subtitles(beside("a.en.srt", "a.de.srt"))
    assert error.value.field == "subtitles"
    assert "de, en" in error.value.hint
    assert "--subtitle-language" in error.value.hint
    with pytest.raises(InputError) as error:
        find_subtitles(beside(), "fr")
    assert error.value.field == "--subtitle-language"
    assert "de, en" in error.value.hint


def test_text_tracks_are_read_full_ones_first(with_tracks):
    video = with_tracks(("ger", True), ("eng", False))
    found = find_subtitles(video).read()
    assert found.read == ("track 2 of a.mkv (en)",)
    assert "track 1 of a.mkv (de, forced)" in found.warnings()[0]
    assert found.lines == (
        Line(1.0, 3.0, "eng", "speech", "subtitles", "en"),
        Line(4.0, 5.5, "If x < 3 and y > 5", "speech", "subtitles", "en"),
    )


def test_the_language_of_the_sound_decides_between_tracks(with_tracks):
    assert find_subtitles(with_tracks(("eng", False), ("ger", False), sound="ger")).language == "de"
    with pytest.raises(InputError) as error:
        find_subtitles(with_tracks(("eng", False), ("ger", False), sound="fre"))
    assert "its sound is fr" in error.value.hint


def test_a_file_beside_the_video_goes_before_its_tracks(with_tracks, tmp_path):
    video = with_tracks(("eng", False))
    (tmp_path / "a.de.srt").write_text(TEXT.format("file"))
    assert find_subtitles(video, "de").path.suffix == ".srt"
    assert find_subtitles(video, "en").track == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("en", "en"),
        ("ENG", "en"),
        ("German", "de"),
        ("pt_BR", "pt-br"),
        ("und", ""),
        (None, ""),
        ("klingon", "klingon"),
    ],
)
def test_names_of_languages(name, code):
    assert language_code(name) == code


def test_a_language_stands_for_its_regions():
    assert of_language("pt-BR", "por")
    assert not of_language("pt", "pt-BR")
    assert not of_language("", "")
