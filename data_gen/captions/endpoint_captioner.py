"""Captions from a vision model behind an OpenAI-compatible endpoint."""

from typing import Any

from data_gen.captions.captioner import Caption, Segment, clean_caption, thinned, without_repeats
from data_gen.captions.settings import CaptionSettings, Prompts
from navigation import SCREEN
from navigation.grid import clock, format_path
from runtime import Completion, Endpoint, Unacceptable

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
