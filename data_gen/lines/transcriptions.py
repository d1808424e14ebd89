"""A speech model behind an OpenAI-compatible endpoint: `POST /v1/audio/transcriptions`, a piece a request."""

import asyncio
import io
import json
import wave
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import numpy as np

from data_gen.lines.heard import Heard, HeardSegment, Word
from data_gen.lines.languages import language_code
from data_gen.lines.sound import RATE
from runtime import Endpoint, EndpointSettings, Usage
from runtime.reply import Completion, Failure, Kind, Sent, read_reply

_FORMS: tuple[dict[str, Any], ...] = (
    {"response_format": "verbose_json", "timestamp_granularities[]": ["segment", "word"]},
    {"response_format": "verbose_json"},
    {"response_format": "json"},
)
"""How much is asked for; a server that refuses one gets the next."""


class Transcriptions(Endpoint):
    """Hears pieces by requests, retried and counted as those of captions are."""

    def __init__(self, settings: EndpointSettings) -> None:
        super().__init__(settings)
        self._url = settings.base_url + "/audio/transcriptions"
        self.name = settings.model
        self.in_flight = settings.in_flight
        self.spent = Usage()
        self._form = 0

    async def hear(self, samples: np.ndarray, language: str = "") -> Heard:
        """What is said in one piece.

        Args:
            samples: float32 [samples] at 16 kHz, at most 28 s.
            language: As `en`; "" lets the server find it out.

        Raises:
            EndpointFailed, EndpointDown: there is no answer.
        """
        sound, total, attempt = wav(samples), Usage(), 0
        while True:
            attempt += 1
            form = self._form
            fields = {"model": self.settings.model, "temperature": "0", **_FORMS[form]}
            if language:
                fields["language"] = language
            outcome: Any = await self._when_open(lambda fields=fields: _multipart(fields, sound), 0, False, total)  # type: ignore[arg-type]
            total += outcome.usage
            if isinstance(outcome, Completion):
                self._answered, self._failed_in_row = True, 0
                self.spent += total
                return read_heard(outcome.message, len(samples) / RATE, language)
            if outcome.status in (400, 422) and form + 1 < len(_FORMS):
                self._form, attempt = max(self._form, form + 1), attempt - 1
                continue
            try:
                await self._after(outcome, attempt, total)
            except Exception:
                self.spent += total
                raise

    async def _paid(self, body: Any, room: int, stream: bool) -> Completion | Failure:
        make: Callable[[], aiohttp.FormData] = body
        sent = Sent(0, 0, 0, None, False, self._answered, self._url)
        try:
            headers = {"Authorization": f"Bearer {self._key}"}
            request = self._connections().post(self._url, data=make(), headers=headers)
            async with asyncio.timeout(self.settings.timeout), request as response:
                status, told, content = response.status, response.headers, await response.read()
        except TimeoutError:
            reason = f"no complete reply within {self.settings.timeout:g} s"
            return Failure(reason, "raise --timeout", usage=sent.lost())
        except (aiohttp.ClientError, OSError) as error:
            reason = f"connection failed: {str(error) or type(error).__name__}"
            return Failure(reason, "start the server, or fix --speech-url", usage=sent.lost())
        if status != 200:
            refused = read_reply(status, told, content, sent)
            assert isinstance(refused, Failure)
            return refused
        try:
            message = json.loads(content)
            read_heard(message, 1.0, "")
        except (ValueError, TypeError, KeyError, AttributeError):
            return Failure("the reply is no transcription", "use another server", kind=Kind.PASSING, usage=sent.lost())
        return Completion(message, "stop", Usage(requests=1))


def read_heard(reply: Mapping[str, Any], length: float, language: str) -> Heard:
    """A server's reply, with or without segments and words; without any times it spans the whole piece.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is no transcription.
    """
    text = reply["text"]
    if not isinstance(text, str):
        raise TypeError("text")
    words = [Word(float(each["start"]), float(each["end"]), _spaced(each["word"])) for each in reply.get("words") or ()]
    found = []
    for each in reply.get("segments") or ():
        start, end = float(each["start"]), float(each["end"])
        own = each.get("words")
        inside = (
            [Word(float(word["start"]), float(word["end"]), _spaced(word["word"])) for word in own]
            if own
            else [word for word in words if start <= (word.start + word.end) / 2 < end]
        )
        scores = (each.get("avg_logprob"), each.get("compression_ratio"), each.get("no_speech_prob"))
        logprob, compression, no_speech = (
            float(score) if score is not None else usual for score, usual in zip(scores, (0.0, 1.0, 0.0), strict=True)
        )
        found.append(HeardSegment(start, end, str(each["text"]), tuple(inside), logprob, compression, no_speech))
    if not found and text.strip():
        found = [HeardSegment(0.0, length, text, tuple(words))]
    return Heard(language_code(str(reply.get("language") or language)), tuple(found))


def _spaced(word: str) -> str:
    # Servers strip the space that Whisper's words begin with; words of scripts without spaces have none.
    return word if word.startswith(" ") or not word.isascii() else f" {word}"


def wav(samples: np.ndarray) -> bytes:
    """float32 [samples] as a WAV file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _multipart(fields: Mapping[str, Any], sound: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            form.add_field(name, each)
    form.add_field("file", sound, filename="piece.wav", content_type="audio/wav")
    return form
