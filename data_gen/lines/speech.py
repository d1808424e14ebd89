"""What is said in a video: its sound heard piece by piece, each piece kept when it is heard."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from data_gen.frames import VideoIndex
from data_gen.lines.heard import Listener, told
from data_gen.lines.pieces import Piece, blocks, pieces, voice_spans
from data_gen.lines.settings import LineSettings
from data_gen.lines.sound import RATE, Sound, find_track
from data_gen.lines.timed_lines import TimedLines, count_of, listed
from navigation import Line
from runtime import Journal, Progress

_DONE = "speech"


async def listen(
    video: Path,
    index: VideoIndex,
    listener: Listener,
    settings: LineSettings,
    journal: Journal,
    progress: Progress | None = None,
) -> tuple[TimedLines, list[dict[str, Any]]]:
    """The lines of what is said, and the same as records with the times of their words.

    A block of a minute is decoded, searched for speech, and heard in pieces; what the journal has is not heard
    again. The text of a piece depends on the piece alone, so a run that was stopped ends with the same lines.

    Raises:
        InputError: no sound in the language that is asked for; the video cannot be read.
        EndpointFailed, EndpointDown: the endpoint does not answer.
    """
    if _DONE not in journal:
        track = await asyncio.to_thread(find_track, video, settings.audio_language)
        if track is None:
            journal.append(
                _DONE, {"lines": [], "doubted": [], "notes": ["no sound"], "read": f"{video.name}: no sound"}
            )
        else:
            sound = Sound(index, track.number)
            heard = _Hearing(listener, settings.speech_language, journal)
            try:
                await heard.all(blocks(sound), progress)
            finally:
                heard.stop()
            found = {"lines": heard.lines, "doubted": heard.doubted}
            notes = [*([track.note] if track.note else []), *sound.warnings(), *heard.warnings()]
            journal.append(_DONE, found | {"notes": notes, "read": f"sound of {video.name} by {listener.name}"})
    record = journal[_DONE]
    lines = tuple(Line.from_dict(each, journal.path) for each in record["lines"])
    languages = {line.language for line in lines if line.language}
    read = f"{record['read']} ({', '.join(sorted(languages)) or 'nothing said'})"
    return TimedLines(lines, video, read=(read,), notes=tuple(record["notes"])), record["lines"]


class _Hearing:
    """Hears a sound's pieces, some at once if the listener takes several."""

    def __init__(self, listener: Listener, language: str, journal: Journal) -> None:
        self.listener, self.language, self.journal = listener, language, journal
        self._slots = asyncio.Semaphore(listener.in_flight)
        self._tasks: list[asyncio.Task[None]] = []
        self._found: dict[int, dict[str, Any]] = {}
        # One thread: every thread of a pool would keep memory of its own for the largest block it has seen.
        self._thread = ThreadPoolExecutor(1, "sound")

    async def all(self, sound: Iterator[tuple[int, np.ndarray]], progress: Progress | None) -> None:
        while (block := await self._in_thread(next, sound, None)) is not None:
            start, samples = block
            key = f"block {start}"
            spans = self.journal.get(key)
            if spans is None:
                spans = await self._in_thread(voice_spans, samples)
                self.journal.append(key, spans)
            for piece in pieces(start, samples, [tuple(span) for span in spans]):
                await self._slots.acquire()
                self._check()
                self._tasks.append(asyncio.create_task(self._hear(piece)))
            if progress is not None:
                progress.advance(len(samples) // RATE)
        await asyncio.gather(*self._tasks)

    def _check(self) -> None:
        """Raises what a piece failed by, before more are heard."""
        for task in self._tasks:
            if task.done():
                task.result()
        self._tasks = [task for task in self._tasks if not task.done()]

    async def _hear(self, piece: Piece) -> None:
        try:
            found = self.journal.get(piece.key)
            if found is None:
                heard = await self.listener.hear(piece.samples, self.language)
                lines, doubted = told(heard, piece, self.listener.name)
                found = {"lines": lines, "doubted": doubted}
                self.journal.append(piece.key, found)
            self._found[piece.start] = found
        finally:
            self._slots.release()

    async def _in_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [line for _, found in sorted(self._found.items()) for line in found["lines"]]

    @property
    def doubted(self) -> list[dict[str, Any]]:
        return [each for _, found in sorted(self._found.items()) for each in found["doubted"]]

    def warnings(self) -> list[str]:
        """What was heard and is not believed, counted by reason."""
        doubted = self.doubted
        if not doubted:
            return []
        texts = [f"{each['start']:.1f} s “{each['text'][:60]}”" for each in doubted]
        return [f"{len(doubted)} texts heard and left out ({count_of(e['why'] for e in doubted)}): {listed(texts)}"]
