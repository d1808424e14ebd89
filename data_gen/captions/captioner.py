"""The interface between a caption run and whatever writes captions, and the captioner that asks a model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from data_gen.captions.settings import CaptionSettings, Prompts
from data_gen.frames import SegmentFrames
from navigation import SCREEN, Line, SegmentPath, TimeGrid
from navigation.grid import clock, format_path
from navigation.words import count_words, first_words
from runtime import Completion, Endpoint, Unacceptable, Usage


@dataclass(frozen=True, slots=True)
class Segment:
    """What a captioner is given.

    Args:
        lines: Timed texts (subtitles, annotations) that share time with the segment, in time order.
        frames: Its frames, if the captioner uses frames on this level.
        children: Captions of its parts in order, if the captioner uses those.
    """

    grid: TimeGrid
    path: SegmentPath
    lines: Sequence[Line] = ()
    frames: SegmentFrames | None = None
    children: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    text: str
    usage: Usage = field(default_factory=Usage)


class Captioner(Protocol):
    """Writes one segment's caption.

    `caption` may be called for many segments at once. It raises `EndpointFailed` for a segment that cannot be
    captioned, and `EndpointDown` or `BudgetExceeded` if none can be.
    """

    def needs_frames(self, level: int, depth: int) -> bool:
        """Whether segments of a 1-based level are captioned from frames."""

    def needs_children(self, level: int, depth: int) -> bool:
        """Whether they are captioned from the captions of their parts."""

    async def caption(self, segment: Segment) -> Caption: ...


_THINKING = re.compile(r".*</think>", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s|$)|[。！？]['\"”’」』）)]*")


def clean_caption(reply: str, word_limit: int) -> str:
    """A model's reply as a caption: reasoning taken off, white space evened, at most `word_limit` words.

    A longer text ends after its last whole sentence within the limit, or with `…` if that would lose over half of it.
    Reasoning that was cut before its end leaves nothing.
    """
    text = _THINKING.sub("", reply)
    if "<think>" in text:
        return ""
    if count_words(text) <= word_limit:
        return " ".join(text.split())
    cut = first_words(text, word_limit)
    ends = [match.end() for match in _SENTENCE_END.finditer(cut)]
    return cut[: ends[-1]] if ends and ends[-1] >= len(cut) // 2 else cut + " …"


def without_repeats(texts: Sequence[str]) -> list[str]:
    """Texts in order, none that the one before already says: rolling captions repeat each line in the next."""
    kept: list[str] = []
    for text in (" ".join(text.split()) for text in texts):
        if not text or (kept and text in kept[-1]):
            continue
        if kept and text.startswith(kept[-1]):
            kept[-1] = text
        else:
            kept.append(text)
    return kept


def thinned(texts: Sequence[str], word_limit: int) -> list[str]:
    """As many of the texts, evenly spread, as stay within the limit together; a single one is cut to it."""
    counts = [count_words(text) for text in texts]
    # Each has a word at least: more of them than words are allowed need not be tried.
    for keep in range(min(len(texts), word_limit + counts.count(0)), 1, -1):
        chosen = [round(place * (len(texts) - 1) / (keep - 1)) for place in range(keep)]
        if sum(counts[place] for place in chosen) <= word_limit:
            return [texts[place] for place in chosen]
    return [first_words(text, word_limit) for text in texts[:1]]


MORE_ROOM = 4
"""A caption cut by `max_tokens` is asked for with up to so many times the room; cut then, it has failed."""
SUBTITLE_WORDS = 1500
"""Most words of subtitles in one prompt; more are thinned evenly."""


class EndpointCaptioner:
    """Asks the endpoint once a segment. An empty caption is asked for again, a cut one with more room."""

    def __init__(self, endpoint: Endpoint, settings: CaptionSettings) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.prompts = Prompts.load(settings.prompts)

    def needs_frames(self, level: int, depth: int) -> bool:
        return self.settings.strategy == "frames" or level == depth

    def needs_children(self, level: int, depth: int) -> bool:
        return not self.needs_frames(level, depth)

    async def caption(self, segment: Segment) -> Caption:
        limit = self.settings.word_limit(len(segment.path), segment.grid.depth)

        def accept(completion: Completion) -> None:
            if not clean_caption(completion.text, limit):
                raise Unacceptable("empty caption")

        completion = await self.endpoint.chat(
            self.messages(segment),
            self.settings.max_tokens,
            accept,
            longest=MORE_ROOM * self.settings.max_tokens,
            temperature=self.settings.temperature,
        )
        return Caption(clean_caption(completion.text, limit), completion.usage)

    def messages(self, segment: Segment) -> list[dict[str, Any]]:
        """One user message: the prompt, then the frames in order as JPEG bytes."""
        grid = segment.grid
        start, end = grid.interval(segment.path)
        level = len(segment.path)
        places = {
            "address": format_path(segment.path),
            "start": clock(start),
            "end": clock(end),
            "duration": clock(grid.duration),
            "words": self.settings.word_limit(level, grid.depth),
            "subtitles": self._subtitles(segment),
        }
        if segment.frames is None:
            children = zip(range(1, grid.width + 1), segment.children or (), strict=False)
            listed = "\n".join(f"{format_path((*segment.path, child))} {text}" for child, text in children)
            text = self.prompts.children.substitute(places, children=listed)
            return [{"role": "user", "content": text}]
        times = ", ".join(f"{time:.1f}" for time in segment.frames.asked)
        text = self.prompts.frames.substitute(places, times=times, frame_count=len(segment.frames.jpegs))
        images = [{"type": "image_url", "image_url": {"url": jpeg}} for jpeg in segment.frames.jpegs]
        return [{"role": "user", "content": [{"type": "text", "text": text}, *images]}]

    def _subtitles(self, segment: Segment) -> str:
        if not self.settings.use_subtitles or not segment.lines:
            return ""
        said = thinned(without_repeats([line.text for line in segment.lines if line.kind != SCREEN]), SUBTITLE_WORDS)
        read = thinned(without_repeats([line.text for line in segment.lines if line.kind == SCREEN]), SUBTITLE_WORDS)
        parts = (("Said meanwhile:", said), ("Read on screen meanwhile:", read))
        return "\n".join("\n".join([head, *texts]) for head, texts in parts if texts)
