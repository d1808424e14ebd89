"""Which of a video's subtitles are read: files beside it and text tracks inside it, full ones before forced ones."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
from av.stream import Disposition

from data_gen.frames import VIDEO_SUFFIXES, index_video
from data_gen.frames.video_index import demuxed, open_video
from data_gen.lines.languages import language_code, of_language
from data_gen.lines.subtitles import SUFFIXES, Cue, lines_of, read_subtitles
from data_gen.lines.timed_lines import TimedLines
from navigation import InputError

_NAMED = re.compile(r"(\.[A-Za-z][A-Za-z0-9_-]{1,11}){0,2}")
_FORCED = {"forced", "foreign"}
_IMPAIRED = {"sdh", "cc", "hi"}
_MARKS = _FORCED | {"sdh", "cc", "full", "default"}
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
TEXT_CODECS = {"subrip", "srt", "mov_text", "webvtt", "ass", "ssa", "text"}


@dataclass(frozen=True, slots=True)
class Subtitles:
    """A subtitle file, or a text track of a video.

    Args:
        path: The file, or the video.
        track: Number of the track among all of the video's; None for a file.
        language: As `en`; "" if nothing tells it.
        forced: Whether it holds foreign passages and signs only.
        impaired: Whether it is for the hard of hearing: sounds are told too.
        default: Whether the video marks it as the one to show.
        note: What should be said about its choice, if there was one.
    """

    path: Path
    track: int | None = None
    language: str = ""
    forced: bool = False
    impaired: bool = False
    default: bool = False
    note: str = ""

    @property
    def label(self) -> str:
        """What it is called where it is told that it was read."""
        name = self.path.name if self.track is None else f"track {self.track} of {self.path.name}"
        told = [self.language or "no language told", *(["forced"] if self.forced else [])]
        return f"{name} ({', '.join(told)})"

    def read(self) -> TimedLines:
        """Its lines.

        Raises:
            InputError: not one cue in it, or it cannot be read.
        """
        found = read_subtitles(self.path) if self.track is None else _read_track(self.path, self.track)
        lines = tuple(replace(line, language=self.language) for line in found.lines)
        forced = f"{self.label} holds foreign passages only" if self.forced else ""
        return replace(found, lines=lines, read=(self.label,), notes=tuple(filter(None, (self.note, forced))))


def find_subtitles(video: str | Path, language: str = "") -> Subtitles | None:
    """The subtitles of a video: a file beside it, or else a text track inside it; None if there are none.

    Files are `talk.srt` for `talk.mp4`, or with a language and marks between, `talk.en.forced.srt`; `talk.srt` goes
    before named ones, and `talk.two.srt` is not taken where there is a `talk.two.mp4`. Full subtitles go before forced
    ones. Where several languages are left, it is that of the video's sound, if the sound tells one.

    Args:
        language: Take this one, as `en`, `eng` or `English`.

    Raises:
        InputError: there are subtitles, but none in the language; several languages, and nothing that decides.
    """
    video = Path(video)
    files = _files(video)
    if not language and files and not files[0].language and not files[0].forced:
        return files[0]
    tracks, sound = _tracks(video) if video.is_file() else ([], "")
    found = [*files, *tracks]
    named = [each for each in found if of_language(each.language, language)] if language else found
    fitting = named or [each for each in found if not each.language]
    if not fitting:
        if not found:
            return None
        there = ", ".join(sorted({each.language for each in found}))
        hint = f"there are: {there}; leave out --subtitle-language to have one chosen"
        raise InputError(video, "--subtitle-language", language, hint)
    full = [each for each in fitting if not each.forced] or fitting
    # A file beside the video goes before what is inside it.
    taken = _chosen(video, [each for each in full if each.track is None] or full, sound)
    others = [each.label for each in found if each != taken]
    note = f"{taken.label} is read, and not {' or '.join(others)}" if others else ""
    return replace(taken, note=f"{taken.label} is read for {language}" if language and not named else note)


def _chosen(video: Path, full: Sequence[Subtitles], sound: str) -> Subtitles:
    """One of those that fit equally well: by the language of the sound."""
    languages = {each.language for each in full}
    if len(languages) > 1:
        fitting = [each for each in full if sound and of_language(each.language, sound)]
        if not fitting:
            told = f"its sound is {sound}" if sound else "its sound tells no language"
            names = ", ".join(sorted(language or "no language told" for language in languages))
            hint = f"give --subtitle-language: there are {names}, and {told}"
            raise InputError(video, "subtitles", [each.label for each in full], hint)
        full = fitting
    return min(full, key=lambda each: (each.impaired, not each.default))


def _files(video: Path) -> list[Subtitles]:
    """Subtitle files of a video, the one without a language first, SRT before VTT."""
    if not video.parent.is_dir():
        return []
    files = [path for path in sorted(video.parent.iterdir()) if path.stem.startswith(video.stem)]
    of_others = {path.stem for path in files if path.suffix.lower() in VIDEO_SUFFIXES} - {video.stem}
    named = [path for path in files if path.suffix.lower() in SUFFIXES and path.stem not in of_others]
    found = [_named(path, video) for path in named if path.is_file() and _NAMED.fullmatch(path.stem, len(video.stem))]
    return sorted(found, key=lambda each: (bool(each.language), each.forced, SUFFIXES.index(each.path.suffix.lower())))


def _named(path: Path, video: Path) -> Subtitles:
    parts = path.stem[len(video.stem) :].lower().split(".")[1:]
    language = next((part for part in parts if part not in _MARKS), "")
    marks = set(parts) - {language}
    return Subtitles(
        path,
        None,
        language_code(language),
        bool(marks & _FORCED),
        bool(marks & {"sdh", "cc", "hi"}),
        "default" in marks,
    )


def _tracks(video: Path) -> tuple[list[Subtitles], str]:
    """Text tracks of a video, and the language of its sound."""
    found = []
    with open_video(video) as container:
        for stream in container.streams.subtitles:
            if stream.codec_context is not None and stream.codec_context.name in TEXT_CODECS:
                marked = stream.disposition
                title = str(stream.metadata.get("title", "")).lower()
                found.append(
                    Subtitles(
                        video,
                        stream.index,
                        language_code(stream.metadata.get("language", "")),
                        bool(marked & Disposition.forced) or "forced" in title,
                        bool(marked & Disposition.hearing_impaired) or "sdh" in title,
                        bool(marked & Disposition.default),
                    )
                )
        sound = main_sound(container)
        return found, language_code(sound.metadata.get("language", "")) if sound is not None else ""


def main_sound(container: av.container.InputContainer) -> av.audio.stream.AudioStream | None:
    """The audio track that is played where nobody chooses: the one marked as default, else the first."""
    tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
    marked = [stream for stream in tracks if stream.disposition & Disposition.default]
    return next(iter(marked or tracks), None)


def _read_track(video: Path, track: int) -> TimedLines:
    zero = index_video(video, accept_damaged=True, pictures=False).zero
    cues, problems = [], []
    with open_video(video) as container:
        stream = container.streams[track]
        try:
            for packet in demuxed(container, stream):
                if packet.pts is None or not packet.size:
                    continue
                start = float(packet.pts * packet.time_base) - zero
                end = start + float((packet.duration or 0) * packet.time_base)
                rows = [row for each in packet.decode() for row in _rows(each)]
                if rows and end <= 0:
                    problems.append(f"{start:.1f} s: it lies before 0: {' '.join(rows)}")
                elif rows:
                    cues.append(Cue(max(0.0, start), end, rows))
        except av.error.FFmpegError as error:
            problems.append(f"reading ended early: {error.strerror or error}")
    if not cues:
        found = "no cue" + "".join(f": {problem}" for problem in problems[:1])
        raise InputError(video, f"track {track}", found, "put an SRT or WebVTT file beside the video")
    cues.sort(key=lambda cue: (cue.start, cue.end))
    return TimedLines(tuple(lines_of(cues)), video, problems=tuple(problems))


def _rows(each: object) -> list[str]:
    """Rows of a decoded subtitle, without ASS's overrides, into which FFmpeg turns all markup."""
    text = getattr(each, "dialogue", b"").decode("utf-8", "replace")
    rows = (" ".join(row.replace("\\h", " ").split()) for row in _OVERRIDE.sub("", text).split("\n"))
    return [row for row in rows if row]
