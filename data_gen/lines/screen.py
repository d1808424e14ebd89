"""What can be read on screen: text in pictures every two seconds, followed over time and told once."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from data_gen.frames import VideoIndex, pictures
from data_gen.lines.timed_lines import TimedLines, listed
from navigation import SCREEN, InputError, Line
from runtime import Journal, Progress

EVERY = 2.0
"""Seconds between pictures."""
_AT_LEAST_EVERY = 30.0
"""Seconds after which a picture is read although nothing seems to have changed: single letters do not show."""
_SCORE = 0.8
"""What the reader gives a text at least."""
_LETTERS = 3
"""Letters and digits of a text at least: less is a page's number or a smudge."""
_BULLETS = "•●▪■◦·‣ "
_SIDE, _FINDING_SIDE = 1280, 960
"""Longest side of a picture whose text is read, and in which it is looked for."""
_GRID, _BLOCK, _LEVEL, _RUN = (320, 180), 8, 8.0, 3
"""A picture has changed if so many blocks of 8 by 8 beside each other, of its small grey copy, differ by this level of
255: as a word does, and a cursor does not."""
_OVERLAP, _ALIKE = 0.3, 0.75
_FURNITURE, _FURNITURE_FROM = 0.5, 60.0
"""What stands for this share of a video, of more seconds, is its furniture: a channel's name, a watermark."""
_DONE = "screen"


class Text(NamedTuple):
    """A line of text in a picture: `box` is its left, top, right and bottom as shares of the picture's size."""

    text: str
    score: float
    box: tuple[float, float, float, float]


@lru_cache(1)
def reader() -> Any:
    """The model that finds and reads text: PP-OCRv6 by rapidocr, which brings it along.

    Raises:
        InputError: the extra is not installed.
    """
    try:
        import onnxruntime  # noqa: F401 -- rapidocr does not require it
        from rapidocr import RapidOCR
    except ImportError:
        raise InputError("screen", "rapidocr", "not installed", "pip install 'clipscout[screen]'") from None
    threads = int(os.environ.get("OMP_NUM_THREADS") or -1)
    engine = "EngineConfig.onnxruntime"
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,
            f"{engine}.intra_op_num_threads": threads,
            f"{engine}.inter_op_num_threads": threads,
            # As it comes, it enlarges small pictures, and pads lines of text to the longest of six.
            "Det.limit_type": "max",
            "Det.limit_side_len": _FINDING_SIDE,
            "Rec.rec_batch_num": 1,
        }
    )


def read_picture(picture: Image.Image) -> list[Text]:
    """The texts of a picture that are worth a line, from top to bottom."""
    if max(picture.size) > _SIDE:
        picture = picture.copy()
        picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(picture)[:, :, 2::-1]  # [height, width, BGR]
    found = reader()(np.ascontiguousarray(pixels))
    if found.txts is None:
        return []
    width, height = picture.size
    texts = []
    for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True):
        text = " ".join(text.split()).lstrip(_BULLETS)
        if score >= _SCORE and len(_letters(text)) >= _LETTERS:
            left, top = corners.min(axis=0)
            right, bottom = corners.max(axis=0)
            box = tuple(round(float(each), 4) for each in (left / width, top / height, right / width, bottom / height))
            texts.append(Text(text, round(float(score), 4), box))  # type: ignore[arg-type]
    return texts


def look(
    video: Path, index: VideoIndex, journal: Journal, progress: Progress | None = None
) -> tuple[TimedLines, list[dict[str, Any]]]:
    """The lines that can be read in a video, and the same as records. Each picture's texts are kept when it is read.

    Raises:
        InputError: the extra is not installed; the video cannot be decoded.
    """
    if _DONE not in journal:
        reader()
        tracker = Tracker()
        for time, texts in _seen(index, journal, progress):
            tracker.add(time, texts)
        lines, furniture = tracker.lines(index.duration)
        notes = [] if index.has_pictures else ["no pictures"]
        if furniture:
            told = f"{len(furniture)} texts stand on screen for half of the video and are left out"
            notes.append(f"{told}: {listed(furniture)}")
        journal.append(_DONE, {"lines": [line.to_dict() for line in lines], "notes": notes})
    record = journal[_DONE]
    lines = [Line.from_dict(each, journal.path) for each in record["lines"]]
    read = f"screen of {video.name} ({'text' if lines else 'no text'})"
    return TimedLines(tuple(lines), video, read=(read,), notes=tuple(record["notes"])), record["lines"]


def _seen(index: VideoIndex, journal: Journal, progress: Progress | None) -> Iterator[tuple[float, list[Text] | None]]:
    """Time and texts of each picture; None where it shows what the one before shows."""
    last, read_at = None, 0.0
    for number, (time, picture) in enumerate(pictures(index, EVERY)):
        small = _small(picture)
        if last is None or time - read_at >= _AT_LEAST_EVERY or _changed(small, last):
            key = f"picture {number}"
            found = journal.get(key)
            if found is None:
                found = read_picture(picture)
                journal.append(key, found)
            last, read_at = small, time
            yield time, [Text(text, score, tuple(box)) for text, score, box in found]
        else:
            yield time, None
        if progress is not None:
            progress.advance(round(EVERY))


def _small(picture: Image.Image) -> np.ndarray:
    """float32 [180, 320]: the picture in grey."""
    small = picture.convert("RGB").convert("L").resize(_GRID, Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(small, dtype=np.float32)


def _changed(one: np.ndarray, other: np.ndarray) -> bool:
    width, height = _GRID[0] // _BLOCK, _GRID[1] // _BLOCK
    differences = np.abs(one - other)[: height * _BLOCK].reshape(height, _BLOCK, width, _BLOCK).mean(axis=(1, 3))
    changed = differences > _LEVEL  # [height, width]
    runs = np.lib.stride_tricks.sliding_window_view(changed, _RUN, axis=1).all(axis=-1)
    return bool(runs.any())


@dataclass(slots=True)
class _Followed:
    """A line of text over time: what it was read as, where it stood last, since when and until when."""

    readings: Counter[str]
    box: tuple[float, float, float, float]
    start: float
    end: float
    missed: int = 0
    pictures: int = 1

    @property
    def text(self) -> str:
        """What it was read as most surely: readings are weighed by their scores."""
        return self.readings.most_common(1)[0][0]


@dataclass(slots=True)
class Tracker:
    """Follows texts from picture to picture by their place and their letters.

    Give it pictures in time order with `add`; a text may be missed in one picture and still be the same.
    """

    every: float = EVERY
    _live: list[_Followed] = field(default_factory=list)
    _done: list[_Followed] = field(default_factory=list)

    def add(self, time: float, texts: Sequence[Text] | None) -> None:
        """One picture's texts; None if it shows what the one before shows."""
        if texts is None:
            for each in self._live:
                if not each.missed:
                    each.end = time
                    each.pictures += 1
            return
        unseen = list(self._live)
        for text in sorted(texts, key=lambda text: -text.score):
            near = (each for each in unseen if _overlap(each.box, text.box) > _OVERLAP)
            likeness = [(_alike(each.text, text.text), each) for each in near]
            best, same = max(likeness, key=lambda found: found[0], default=(0.0, None))
            if same is not None and best >= _ALIKE:
                unseen.remove(same)
                same.readings[text.text] += text.score  # type: ignore[assignment]
                same.box, same.end, same.missed = text.box, time, 0
                same.pictures += 1
            else:
                self._live.append(_Followed(Counter({text.text: text.score}), text.box, time, time))
        for each in unseen:
            each.missed += 1
        self._done += [each for each in self._live if each.missed > 1]
        self._live = [each for each in self._live if each.missed <= 1]

    def lines(self, duration: float) -> tuple[list[Line], list[str]]:
        """Lines in time order, and the texts of the furniture. Ends the following."""
        found = [*self._done, *self._live]
        seconds: Counter[str] = Counter()
        for each in found:
            seconds[_letters(each.text)] += round(each.end - each.start + self.every)
        furniture = set()
        if duration >= _FURNITURE_FROM:
            furniture = {letters for letters, count in seconds.items() if count >= _FURNITURE * duration}
        kept = [each for each in found if _letters(each.text) not in furniture and not _is_passing(each, found)]
        kept.sort(key=lambda each: (each.start, each.box[1], each.box[0]))
        lines = [
            Line(round(each.start, 2), round(min(each.end + self.every, duration), 2), each.text, SCREEN, "rapidocr")
            for each in kept
        ]
        return lines, sorted({each.text for each in found if _letters(each.text) in furniture})


def _is_passing(each: _Followed, found: Iterable[_Followed]) -> bool:
    """Whether a text was seen in one picture, among others at its place: one picture fading into the next."""
    if each.pictures > 1:
        return False
    return any(
        other is not each
        and other.pictures > 1
        and other.start <= each.end + EVERY
        and other.end >= each.start - EVERY
        and _overlap(other.box, each.box) > 0
        for other in found
    )


def _letters(text: str) -> str:
    return "".join(sign for sign in text.lower() if sign.isalnum())


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, _letters(one), _letters(other), autojunk=False).ratio()


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)
