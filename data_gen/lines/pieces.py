"""Sound cut into pieces that a speech model takes: where somebody speaks, at most 28 s long, cut in quiet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from data_gen.lines.sound import RATE
from navigation import InputError

LONGEST = 28.0
"""Seconds of a piece: Whisper hears 30 s at once, and servers lose words beyond that."""
_BLOCK, _BLOCK_SLACK = 60.0, 15.0
_PIECE_SLACK = 10.0
"""Seconds at the end of what is longer than allowed, in which the quietest place is looked for."""
_QUIET = 0.3
_JOINED = 2.0
"""Seconds of silence that may lie inside a piece."""
_LEAST = 0.25
"""Seconds of speech that are worth a piece."""
VAD = {"threshold": 0.5, "min_silence_duration_ms": 500, "speech_pad_ms": 300}
"""Of Silero's voice activity detection."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Sound to be heard at once.

    Args:
        start: Sample of the video's sound at which it begins.
        samples: float32 [samples] at 16 kHz.
        spans: Where in the video's sound somebody speaks, in samples.
    """

    start: int
    samples: np.ndarray = field(repr=False)
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def key(self) -> str:
        return f"{self.start}-{self.start + len(self.samples)}"


def blocks(sound: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """The sound in blocks of at most a minute, each with its first sample's place; cut in quiet, whatever the sizes
    of the arrays that come."""
    start, count, held = 0, 0, list[np.ndarray]()
    most = round(_BLOCK * RATE)
    for samples in sound:
        held.append(samples)
        count += len(samples)
        while count >= most:
            whole = np.concatenate(held)
            cut = quietest(whole[:most], _BLOCK_SLACK)
            yield start, whole[:cut]
            start, held = start + cut, [whole[cut:].copy()]
            count = len(held[0])
    if count:
        yield start, np.concatenate(held)


def quietest(samples: np.ndarray, slack: float) -> int:
    """The middle of the quietest 0.3 s of the last `slack` seconds."""
    width = round(_QUIET * RATE)
    first = max(0, len(samples) - round(slack * RATE))
    tail = samples[first:].astype(np.float64)
    power = np.cumsum(tail**2)
    windows = power[width:] - power[:-width]  # [places]
    return first + int(windows.argmin()) + width // 2 if len(windows) else len(samples)


def voice_spans(samples: np.ndarray) -> list[tuple[int, int]]:
    """Where somebody speaks, in samples, by Silero's model, padded by 0.3 s.

    Raises:
        InputError: the extra that brings it is not installed.
    """
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ImportError:
        raise missing_extra() from None
    if not samples.any():
        return []
    found = get_speech_timestamps(samples, VadOptions(**VAD))
    pad = 2 * VAD["speech_pad_ms"] / 1000
    return [(each["start"], each["end"]) for each in found if each["end"] - each["start"] >= (_LEAST + pad) * RATE]


def missing_extra() -> InputError:
    return InputError("speech", "faster-whisper", "not installed", "pip install 'clipscout[speech]'")


def pieces(start: int, samples: np.ndarray, spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """The pieces of a block: neighbouring spans of speech together while they fit, longer ones cut in quiet."""
    most, joined = round(LONGEST * RATE), round(_JOINED * RATE)
    parts: list[tuple[int, int]] = []
    for begin, end in spans:
        while end - begin > most:
            cut = begin + quietest(samples[begin : begin + most], _PIECE_SLACK)
            parts.append((begin, cut))
            begin = cut
        parts.append((begin, end))
    group: list[tuple[int, int]] = []
    for part in [*parts, None]:
        if group and (part is None or part[1] - group[0][0] > most or part[0] - group[-1][1] > joined):
            begin, end = group[0][0], group[-1][1]
            yield Piece(start + begin, samples[begin:end], tuple((start + a, start + b) for a, b in group))
            group = []
        if part is not None:
            group.append(part)
