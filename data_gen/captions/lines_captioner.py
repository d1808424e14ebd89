"""Captions without any model: the timed texts of the segment."""

from data_gen.captions.captioner import Caption, Segment
from data_gen.captions.settings import CaptionSettings
from data_gen.captions.words import thinned, without_repeats


class LinesCaptioner:
    """A segment's subtitles or annotations, repeats left out, thinned evenly to the word limit.

    Args:
        settings: For the word limits.
        nothing: The caption of a segment without any line.
    """

    def __init__(self, settings: CaptionSettings, nothing: str = "Nothing is said.") -> None:
        self.settings = settings
        self.nothing = nothing

    def needs_frames(self, level: int, depth: int) -> bool:
        return False

    def needs_children(self, level: int, depth: int) -> bool:
        return False

    async def caption(self, segment: Segment) -> Caption:
        limit = self.settings.word_limit(len(segment.path), segment.grid.depth)
        texts = thinned(without_repeats([line.text for line in segment.lines]), limit)
        return Caption(" ".join(texts) or self.nothing)
