"""What a speech model says of a piece, and what of that becomes lines: nothing that it invents in silence."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from data_gen.lines.languages import language_code
from data_gen.lines.pieces import Piece
from data_gen.lines.sound import RATE
from navigation import SPEECH, Line

_SENTENCE_END = re.compile(r"[.!?…。！？]['\"”’)\]]*$")
_SHORTEST = 4
"""Words of a line before it is ended with its sentence."""
_LONGEST = 40
"""Words of a line at most."""
_PAUSE = 1.0
"""Seconds of silence that end a line."""
_LOUD, _TAIL = 0.1, 0.1
_LEAST_VOICED = 0.3
"""Share of a segment's time in which somebody must speak."""
_FASTEST = 35.0
"""Characters a second that nobody says."""


class Word(NamedTuple):
    """A word with its times in seconds, the space before it included."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class HeardSegment:
    """A part of a piece as a Whisper model tells it.

    Args:
        start, end: Seconds from the piece's begin.
        words: With times, if they are known.
        logprob: Mean log-probability of its tokens.
        compression: How much shorter zlib makes the text: repeats compress well.
        no_speech: Probability that nothing is said.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    logprob: float = 0.0
    compression: float = 1.0
    no_speech: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    language: str
    segments: tuple[HeardSegment, ...]


class Listener(Protocol):
    """Hears pieces of sound."""

    name: str
    in_flight: int
    """How many pieces it takes at once."""

    async def hear(self, samples: np.ndarray, language: str = "") -> Heard: ...


def doubt(segment: HeardSegment, piece: Piece) -> str:
    """Why a segment is not believed; "" if it is.

    The thresholds of Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 4.5,
    and what is known of the piece: where somebody speaks.
    """
    text = segment.text.strip()
    if not any(sign.isalnum() for sign in text):
        return "no words"
    if segment.no_speech > 0.6 and segment.logprob < -0.5:
        return "nothing is said there"
    if segment.logprob < -1.0:
        return "the model is not sure"
    if segment.compression > 2.4:
        return "it repeats itself"
    length = len(piece.samples) / RATE
    start, end = max(0.0, segment.start), min(segment.end, length)
    if end <= start:
        return "after the end of the sound"
    spans = [((a - piece.start) / RATE, (b - piece.start) / RATE) for a, b in piece.spans]
    voiced = sum(max(0.0, min(end, b) - max(start, a)) for a, b in spans)
    if voiced < _LEAST_VOICED * (end - start):
        return "nobody speaks there"
    if len(text) > _FASTEST * max(0.2, end - start):
        return "faster than anybody speaks"
    return ""


def told(heard: Heard, piece: Piece, source: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines of a piece as records with `words`, and segments that are not believed with the reason `why`."""
    believed, doubted = [], []
    language = language_code(heard.language)
    for segment in heard.segments:
        if why := doubt(segment, piece):
            at = piece.start / RATE
            start, end = (round(at + time, 2) for time in (segment.start, segment.end))
            doubted.append({"start": start, "end": end, "text": segment.text.strip(), "why": why})
        else:
            believed.append(segment)
    return [_line(part, piece, source, language) for part in _sentences(believed)], doubted


def _sentences(segments: Sequence[HeardSegment]) -> Iterator[HeardSegment]:
    """Sentences, across the segments that models make, where words are known; short ones together."""
    begun: list[Word] = []
    for segment in segments:
        if begun and not segment.words:
            yield _of_words(begun)
            begun = []
        for word in segment.words:
            if begun and (word.start - begun[-1].end > _PAUSE or len(begun) >= _LONGEST):
                yield _of_words(begun)
                begun = []
            begun.append(word)
            if _SENTENCE_END.search(word.text.strip()) and len(begun) >= _SHORTEST:
                yield _of_words(begun)
                begun = []
        if not segment.words:
            yield segment
    if begun:
        yield _of_words(begun)


def _of_words(words: Sequence[Word]) -> HeardSegment:
    return HeardSegment(words[0].start, words[-1].end, "".join(word.text for word in words), tuple(words))


def onset(samples: np.ndarray, start: float, end: float) -> float:
    """When sound begins between two times in seconds: the first 10 ms that are a tenth as loud as the loudest."""
    width = RATE // 100
    first, last = max(0, round(start * RATE)), round((end + _TAIL) * RATE)
    part = samples[first:last]
    part = np.abs(part[: len(part) // width * width]).reshape(-1, width).mean(axis=1)
    if not part.any():
        return start
    return max(start, min(end, (first + int(np.argmax(part > _LOUD * part.max())) * width) / RATE))


def _line(part: HeardSegment, piece: Piece, source: str, language: str) -> dict[str, Any]:
    at, length = piece.start / RATE, len(piece.samples) / RATE

    def placed(time: float) -> float:
        return round(at + min(max(0.0, time), length), 2)

    # Whisper begins a word that follows a pause in the pause.
    until = part.words[0].end if part.words else part.end
    start, end = placed(onset(piece.samples, part.start, until)), placed(max(part.start, part.end))
    line = Line(start, end, " ".join(part.text.split()), SPEECH, source, language)
    words = [[placed(word.start), placed(word.end), word.text.strip()] for word in part.words]
    if words:
        words[0][0] = start
    return line.to_dict() | ({"words": words} if words else {})
