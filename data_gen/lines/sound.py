"""A video's sound as 16 kHz mono on the video's own clock, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from data_gen.frames import VideoIndex
from data_gen.frames.video_index import demuxed, open_video
from data_gen.lines.languages import language_code, of_language
from navigation import InputError

RATE = 16_000
_HOLE = 0.1
"""Seconds that stamps may be off before silence is put in, or sound left out."""
_BACK = 0.5
"""Stamps that go back further begin again: the clock continues."""
_LONGEST_HOLE = 10 * RATE
_CANCELLED = 0.3
"""Channels whose mean is quieter than this share of the loudest one cancel each other."""


@dataclass(frozen=True, slots=True)
class Track:
    """A video's sound track.

    Args:
        number: Among all of the video's tracks.
        language: As `en`; "" if nothing tells it.
        note: What should be said about its choice, if there was one.
    """

    number: int
    language: str = ""
    note: str = ""


def find_track(video: str | Path, language: str = "") -> Track | None:
    """The sound track that is listened to: the default one that is no commentary; None if there is none.

    Args:
        language: Take this one, as `en`, `eng` or `English`.

    Raises:
        InputError: there is sound, but none in the language.
    """
    with open_video(video) as container:
        streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
        apart = Disposition.comment | Disposition.visual_impaired

        def rank(stream: av.audio.stream.AudioStream) -> tuple[bool, bool]:
            return bool(stream.disposition & apart), not stream.disposition & Disposition.default

        tracks = [
            Track(stream.index, language_code(stream.metadata.get("language", "")))
            for stream in sorted(streams, key=rank)
        ]
    fitting = [track for track in tracks if of_language(track.language, language)] if language else tracks
    if not fitting and len(tracks) == 1 and not tracks[0].language:
        fitting = tracks
    if tracks and not fitting:
        there = ", ".join(sorted(track.language or "no language told" for track in tracks))
        hint = f"there are: {there}; leave out --audio-language to hear the default one"
        raise InputError(video, "--audio-language", language, hint)
    if not fitting:
        return None
    taken = fitting[0]
    named = taken.language or "no language told"
    note = f"track {taken.number} ({named}) of {len(tracks)} sound tracks is heard" if len(tracks) > 1 else ""
    return Track(taken.number, taken.language, note)


class Sound:
    """The sound of one track. Iterate it once.

    Time 0 is the video's; sound before it is left out, and silence stands where there is no sound: before a late
    beginning, and in holes. Where stamps begin again the clock continues, and spans that the pictures leave out are
    left out here. Broken packets become silence. More than two channels are mixed to two by FFmpeg's rule, which keeps
    the middle one; of two that cancel each other the louder one is heard.

    Args:
        index: Of the video.
        track: Number of its track.

    Attributes:
        broken: Packets that could not be decoded.
        restarts: How often the stamps began again.
        ended_by: What ended reading early, if anything.
    """

    def __init__(self, index: VideoIndex, track: int) -> None:
        self.index, self.track = index, track
        self.broken = self.restarts = 0
        self.ended_by = ""
        self._resampler: av.AudioResampler | None = None
        self._put = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Blocks of float32 samples in [-1, 1], of any length."""
        end = round(self.index.duration * RATE)
        for block in self._placed():
            if self._put + len(block) >= end:
                yield block[: max(0, end - self._put)]
                return
            self._put += len(block)
            yield block

    def warnings(self) -> list[str]:
        """What was odd and is handled; known at the end."""
        found = [f"{self.broken} packets of the sound cannot be decoded: silence there"] if self.broken else []
        if self.restarts:
            found.append(f"the sound's time stamps begin again {self.restarts} times: the clock continues there")
        return found + ([f"reading the sound ended early: {self.ended_by}"] if self.ended_by else [])

    def _placed(self) -> Iterator[np.ndarray]:
        shift, newest = self.index.zero, None
        for frame in self._frames():
            if frame.pts is not None and frame.time_base is not None:
                time = float(frame.pts * frame.time_base)
                if newest is not None and time < newest - _BACK:
                    self.restarts += 1
                    shift = time - self._put / RATE
                newest = time
                place = time - shift - sum(end - start for start, end in self.index.left_out if time >= end)
                if round(place * RATE) - self._put < -_HOLE * RATE:
                    continue
                yield from self._filled(round(place * RATE))
            frame.pts = None
            yield from self._mixed(frame)
        yield from self._mixed(None)

    def _filled(self, place: int) -> Iterator[np.ndarray]:
        """Silence up to a place, if it is far enough from where the sound is."""
        hole = place - self._put
        if hole > _HOLE * RATE:
            yield from self._mixed(None)
            hole = place - self._put
            while hole > 0:
                part = min(hole, _LONGEST_HOLE)
                yield np.zeros(part, np.float32)
                hole -= part

    def _mixed(self, frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
        if frame is None:
            if self._resampler is not None:
                resampled, self._resampler = self._resampler.resample(None), None
                yield from map(_mono, resampled)
            return
        if self._resampler is None:
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self._resampler = av.AudioResampler("fltp", layout, RATE)
        try:
            resampled = self._resampler.resample(frame)
        except ValueError:
            # The format changed in the middle: what is left of the former one first.
            yield from self._mixed(None)
            yield from self._mixed(frame)
            return
        yield from map(_mono, resampled)

    def _frames(self) -> Iterator[av.AudioFrame]:
        with open_video(self.index.path) as container:
            stream = container.streams[self.track]
            assert isinstance(stream, av.audio.stream.AudioStream)
            stream.codec_context.thread_count = 1
            try:
                for packet in demuxed(container, stream):
                    try:
                        for frame in packet.decode():
                            assert isinstance(frame, av.AudioFrame)
                            yield frame
                    except av.error.EOFError:
                        return
                    except av.error.FFmpegError:
                        self.broken += 1
            except av.error.FFmpegError as error:
                self.ended_by = error.strerror or str(error)


def _mono(frame: av.AudioFrame) -> np.ndarray:
    samples = frame.to_ndarray().astype(np.float32, copy=False)  # [channels, samples]
    if len(samples) == 1:
        return samples[0]
    mixed = samples.mean(axis=0)
    loud = np.sqrt((samples**2).mean(axis=1))
    if np.sqrt((mixed**2).mean()) < _CANCELLED * loud.max():
        return samples[int(loud.argmax())]
    return mixed
