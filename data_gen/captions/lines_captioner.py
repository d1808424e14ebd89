"""Captions that are lines: what is said, read or annotated, with no model or with one that sums up."""

import math
from collections import Counter
from collections.abc import Sequence

from data_gen.captions.captioner import Caption, EndpointCaptioner, Segment, thinned, without_repeats
from data_gen.captions.settings import LINES, CaptionSettings
from navigation import SCREEN, Line
from navigation.words import count_words, first_words, tokens_of
from runtime import Endpoint

NOTHING = {
    "subtitles": "Nothing is said.",
    "annotations": "Nothing is annotated.",
    LINES: "Nothing is said or shown as text.",
}
_LENGTH = 6
"""Words added to a line's length, so that fragments do not win by being short."""


class LinesCaptioner:
    """A segment's lines, repeats left out.

    Of too many for the word limit those that tell most are chosen; subtitles and annotations alone are thinned evenly.

    Args:
        settings: For the word limits, and whose lines they are.
    """

    def __init__(self, settings: CaptionSettings) -> None:
        self.settings = settings
        self.nothing = NOTHING.get(settings.captioner, NOTHING[LINES])

    def needs_frames(self, level: int, depth: int) -> bool:
        return False

    def needs_children(self, level: int, depth: int) -> bool:
        return False

    async def caption(self, segment: Segment) -> Caption:
        limit = self.settings.word_limit(len(segment.path), segment.grid.depth)
        if self.settings.captioner != LINES:
            texts = thinned(without_repeats([line.text for line in segment.lines]), limit)
            return Caption(" ".join(texts) or self.nothing)
        return Caption(shortened(segment.lines, limit) or self.nothing)


class SummaryCaptioner(EndpointCaptioner):
    """Leaves are the lines themselves; a language model sums up the parts of every segment above."""

    def __init__(self, endpoint: Endpoint, settings: CaptionSettings) -> None:
        super().__init__(endpoint, settings)
        self._leaves = LinesCaptioner(settings)

    def needs_frames(self, level: int, depth: int) -> bool:
        return False

    def needs_children(self, level: int, depth: int) -> bool:
        return level < depth

    async def caption(self, segment: Segment) -> Caption:
        if len(segment.path) == segment.grid.depth:
            return await self._leaves.caption(segment)
        return await super().caption(segment)


def shortened(lines: Sequence[Line], limit: int) -> str:
    """Lines in at most `limit` words, what is said before what is read on screen; neither takes the other's half."""
    said = without_repeats([line.text for line in lines if line.kind != SCREEN])
    read = list(dict.fromkeys(line.text for line in lines if line.kind == SCREEN))
    counts = [sum(map(count_words, texts)) for texts in (said, read)]
    if limit < 4 or not read:
        return first_words(" ".join(chosen([*said, *read], limit)), limit)
    # "On screen:" is two words of its own.
    room = limit - 2
    of_read = min(counts[1], max(room // 2, room - counts[0]))
    said = chosen(said, room - of_read) if room > of_read else []
    return " ".join([*said, f"On screen: {'; '.join(chosen(read, of_read))}."])


def chosen(texts: Sequence[str], limit: int) -> list[str]:
    """Texts, in order, that together tell most in at most `limit` words.

    Greedy coverage of words, each once, weighed by how often it is said and how rare it is among these texts (Lin and
    Bilmes, "A Class of Submodular Functions for Document Summarization", ACL 2011).
    """
    counts = [count_words(text) for text in texts]
    if sum(counts) <= limit:
        return list(texts)
    words = [frozenset(tokens_of(text.casefold().replace("_", " "), shortest=3)) for text in texts]
    frequency = Counter(word for each in words for word in each)
    weights = {word: 1.0 + math.log(len(texts) / count) for word, count in frequency.items()}
    covered, taken, left = set[str](), list[int](), limit
    while True:
        fitting = [place for place in range(len(texts)) if place not in taken and counts[place] <= left]
        if not fitting:
            break
        # fsum: the order in which a set gives its words must not decide a tie.
        gains = {p: math.fsum(weights[w] for w in words[p] - covered) / (counts[p] + _LENGTH) for p in fitting}
        best = max(fitting, key=lambda place: gains[place])
        if gains[best] <= 0:
            break
        taken.append(best)
        covered |= words[best]
        left -= counts[best]
    if texts and not taken:
        return [first_words(texts[0], limit)]
    return [texts[place] for place in sorted(taken)]
