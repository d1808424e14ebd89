"""A video's lines from the sources that are asked for, made once and kept."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from data_gen.frames import VideoIndex, index_video
from data_gen.lines.heard import Listener
from data_gen.lines.pieces import LONGEST, VAD
from data_gen.lines.settings import AUTO, HEARD, READ, SUBTITLES, LineSettings
from data_gen.lines.speech import listen
from data_gen.lines.timed_lines import TimedLines, together
from data_gen.lines.tracks import find_subtitles
from data_gen.lines.transcriptions import Transcriptions
from navigation import InputError, Line, read_jsonl
from navigation.files import child_path
from runtime import Journal, Progress, file_identity

SUFFIX = ".lines.jsonl"
_RULES = 1
"""Raised when other lines are made of the same video: journals of before are not gone on with."""


class Made(NamedTuple):
    """Lines of a video.

    Args:
        timed: All of them.
        records: The same as JSON values, speech with the times of its words (`words`: `[start, end, text]`).
        warnings: What was odd in the video.
    """

    timed: TimedLines
    records: list[dict[str, Any]]
    warnings: tuple[str, ...] = ()


def sources_of(video: Path, settings: LineSettings) -> list[str]:
    """The sources that a video's lines come from.

    Raises:
        InputError: subtitles that cannot be chosen among.
    """
    chosen = [name for name in settings.sources if name != AUTO]
    if AUTO in settings.sources:
        found = find_subtitles(video, settings.subtitle_language)
        if found is not None and not (found.forced and settings.hears):
            chosen.append(SUBTITLES)
        elif settings.hears:
            chosen.append(HEARD)
    return list(dict.fromkeys(chosen))


def finished(video: Path, folder: Path | None = None, video_id: str = "") -> Path | None:
    """The lines that `clipscout lines` left in a folder, or beside the video; None if it did not."""
    path = child_path(folder, video_id, SUFFIX) if folder is not None else video.with_name(video.stem + SUFFIX)
    return path if path.is_file() else None


def lines_of(
    video: Path,
    settings: LineSettings,
    journal: Path,
    folder: Path | None = None,
    video_id: str = "",
    progress: Progress | None = None,
) -> TimedLines:
    """The lines of a video for whoever captions it: finished ones if they are there, else from its sources.

    Call it in a thread without an event loop.

    Args:
        journal: Where pieces and pictures are kept as they are done; `.jsonl`. Subtitles need none.
        folder: Of finished lines; None looks beside the video.
        video_id: The video's, by which its lines are found in the folder.

    Raises:
        InputError: what cannot be read, or an extra that is not installed.
        EndpointFailed, EndpointDown: the endpoint for speech does not answer.
    """
    if AUTO in settings.sources and (there := finished(video, folder, video_id)) is not None:
        return read_lines(there)
    return asyncio.run(make_lines(video, settings, journal, True, progress)).timed


async def make_lines(
    video: Path, settings: LineSettings, journal: Path, accept_damaged: bool = False, progress: Progress | None = None
) -> Made:
    """The lines of a video, from all its sources, in time order.

    Raises:
        InputError, EndpointFailed, EndpointDown: as `lines_of`.
    """
    parts: list[TimedLines] = []
    records: list[dict[str, Any]] = []
    sources = await asyncio.to_thread(sources_of, video, settings)
    if SUBTITLES in sources:
        found = await asyncio.to_thread(find_subtitles, video, settings.subtitle_language)
        if found is not None:
            parts.append(await asyncio.to_thread(found.read))
            records += [line.to_dict() for line in parts[-1].lines]
    made = [name for name in (HEARD, READ) if name in sources]
    if not made:
        return Made(together(parts), records)
    index = await asyncio.to_thread(index_video, video, accept_damaged, False)
    for name in made:
        begun = {"rules": _RULES, "video": await asyncio.to_thread(file_identity, video), **_decisive(name, settings)}
        with Journal(journal.with_name(f"{journal.stem}.{name}.jsonl"), begun) as kept:
            timed, told = await _source(name, video, index, settings, kept, progress)
        parts.append(timed)
        records += told
    records.sort(key=lambda record: (record["start"], record["end"]))
    return Made(together(parts), records, index.warnings)


def _decisive(name: str, settings: LineSettings) -> dict[str, Any]:
    if name == READ:
        return {"source": READ}
    told = settings.to_dict()
    own = {key: told.get(key, "") for key in ("speech", "speech_language", "audio_language")}
    return {"source": HEARD, "longest": LONGEST, "vad": VAD, **own}


async def _source(
    name: str, video: Path, index: VideoIndex, settings: LineSettings, journal: Journal, progress: Progress | None
) -> tuple[TimedLines, list[dict[str, Any]]]:
    if name == READ:
        from data_gen.lines.screen import look

        return await asyncio.to_thread(look, video, index, journal, progress)
    async with AsyncExitStack() as stack:
        listener: Listener
        if "speech" in journal:
            listener = _Nobody(Path(settings.speech_model).name)
        elif settings.speech_endpoint is not None:
            listener = await stack.enter_async_context(Transcriptions(settings.speech_endpoint))
        else:
            from data_gen.lines.whisper import load

            listener = await asyncio.to_thread(load, settings.speech_model)
        return await listen(video, index, listener, settings, journal, progress)


class _Nobody:
    """Stands for the listener where everything has been heard."""

    in_flight = 1

    def __init__(self, name: str) -> None:
        self.name = name

    async def hear(self, samples: Any, language: str = "") -> Any:
        raise AssertionError("everything has been heard")


def read_lines(path: Path) -> TimedLines:
    """The lines of a `.lines.jsonl`.

    Raises:
        InputError: no such file, or a row that is no line.
    """
    hint = "give an object with start, end, kind and text"
    try:
        lines = [Line.from_dict(row, source) for source, row in _rows(path, hint)]
    except OSError as error:
        raise InputError(path, "lines", str(error), "give a readable file") from None
    return TimedLines(tuple(sorted(lines, key=lambda line: (line.start, line.end))), path, read=(path.name,))


def _rows(path: Path, hint: str) -> Iterator[tuple[str, dict[str, Any]]]:
    # A video without any line has an empty file.
    if path.read_text(encoding="utf-8").strip():
        yield from read_jsonl(path, hint)


def lines_text(records: list[dict[str, Any]]) -> str:
    """A `.lines.jsonl`: one record a row."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
