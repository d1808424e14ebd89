"""Captions of every level extracted from long texts that come once a second and repeat one another.

Vision models caption neighbouring frames in nearly the same words. A segment keeps the sentences that cover most of
what lasts in it and is rare elsewhere in its video (TF-IDF over seconds), each word counted once: greedy budgeted
coverage as in extractive summarisation (Lin and Bilmes, "A Class of Submodular Functions for Document Summarization",
ACL 2011). A leaf always keeps its central second's first sentence; a level above extracts from what its children kept.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from data_gen.corpora.wording import sentence, stems, word_count
from navigation import CaptionTree, Line, SegmentPath, TimeGrid

NOTHING = "No caption."
HIGH, MEDIUM, LEAF = 120, 90, 60
"""Most words in a caption, by how far its level is from the leaves (two or more, one, none)."""
RECIPE = "the sentences that cover most of what lasts in the segment and is rare elsewhere in its video"

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_PREAMBLE = re.compile(
    r"^(?:in )?(?:the|this) (?:image|frame|video|scene|photo|picture)(?: also| primarily| prominently)?,? "
    r"(?:showcases|shows|captures|depicts|displays|features|portrays|presents|contains|is of)\s+"
    r"|^the (?:image|frame) (?:appears|seems) to be ",
    re.IGNORECASE,
)
_ABOUT_THE_PICTURE = re.compile(
    r"\b(?:overall|ambiance|atmosphere|backdrop|background|surroundings|environment suggests)\b"
    r"|\b(?:out[- ]of[- ]focus|blur\w*)\b"
    r"|\bprominently visible\b|^(?:an|a) \w+ (?:setting|scene)\b",
    re.IGNORECASE,
)
_FLOOR = 0.3
"""Weight of a word that every second has: the scene itself is worth telling once."""
_LENGTH = 6
"""Words added to a sentence's length, so that fragments do not win by being short."""
_LEAD, _PICTURE = 1.5, 0.4
"""Factors for a caption's first sentence, which names who does what, and for talk about the picture as such."""


@dataclass(frozen=True)
class _Sentence:
    text: str
    factor: float

    @cached_property
    def stems(self) -> frozenset[str]:
        return stems(self.text)

    @cached_property
    def words(self) -> int:
        return word_count(self.text)


def extract(video_id: str, duration: float, seconds: Mapping[int, str], made_by: str) -> CaptionTree:
    """The tree of a video from captions by whole second; each caption stands for its second in the tree's lines.

    Seconds lie in `[0, duration)`.
    """
    grid = TimeGrid.for_duration(duration)
    told = {second: _sentences(text) for second, text in sorted(seconds.items())}
    words = {second: frozenset().union(*(each.stems for each in found)) for second, found in told.items()}
    rarity = _rarity(words.values())
    kept: dict[SegmentPath, list[_Sentence]] = {}
    for level in range(grid.depth, 0, -1):
        above = grid.depth - level
        for path in grid.paths(level):
            inside = _seconds_of(grid, path, told)
            weights = _weights([words[second] for second in inside], rarity)
            if above == 0:
                texts: Iterable[list[_Sentence]] = (told[second] for second in inside)
            else:
                texts = (kept[(*path, child)] for child in range(1, grid.width + 1))
            # Equal sentences of neighbouring seconds are one.
            pool = list(dict.fromkeys(each for text in texts for each in text))
            first = told[_central(grid, path, inside)][0] if above == 0 and inside else None
            kept[path] = _cover(pool, weights, LEAF if above == 0 else MEDIUM if above == 1 else HIGH, first)
    captions = {path: " ".join(each.text for each in kept[path]) or NOTHING for path in grid.paths()}
    lines = tuple(Line(second, min(second + 1, duration), text) for second, text in sorted(seconds.items()))
    return CaptionTree(video_id, grid, captions, {"captioner": made_by, "recipe": RECIPE}, lines)


def _seconds_of(grid: TimeGrid, path: SegmentPath, told: Mapping[int, object]) -> list[int]:
    """Captioned seconds whose middle lies in a segment; where none does, the second that holds the segment's centre."""
    start, end = grid.interval(path)
    found = [second for second in range(math.ceil(start - 0.5), math.ceil(end - 0.5)) if second in told]
    centre = int((start + end) / 2)
    return found or [second for second in (centre,) if second in told]


def _central(grid: TimeGrid, path: SegmentPath, inside: Sequence[int]) -> int:
    start, end = grid.interval(path)
    return min(inside, key=lambda second: abs(second + 0.5 - (start + end) / 2))


def _cover(
    pool: Sequence[_Sentence], weights: Mapping[str, float], limit: int, first: _Sentence | None = None
) -> list[_Sentence]:
    """Sentences that cover most weight in at most `limit` words, in the pool's order; `first` is taken before all."""
    left, taken, covered, words = list(pool), set(), set[str](), 0
    while left:
        if first is not None and not taken and first in left:
            best = first
        else:
            best = max(left, key=lambda each: _gain(each, covered, weights))
        if taken and _gain(best, covered, weights) <= 0:
            break
        left.remove(best)
        if words + best.words <= limit:
            taken.add(best)
            covered |= best.stems
            words += best.words
    if pool and not taken:
        # Every sentence is above the limit: a beginning is better than nothing.
        best = first or pool[0]
        return [_Sentence(" ".join(best.text.split()[:limit]), best.factor)]
    return [each for each in pool if each in taken]


def _gain(each: _Sentence, covered: Set[str], weights: Mapping[str, float]) -> float:
    # fsum: the order in which a set gives its words must not decide a tie.
    new = math.fsum(weights.get(word, 0.0) for word in each.stems - covered)
    return each.factor * new / (each.words + _LENGTH)


def _rarity(seconds: Iterable[frozenset[str]]) -> dict[str, float]:
    """`_FLOOR` + inverse document frequency of every stem over the video's seconds."""
    seconds = list(seconds)
    frequency = Counter(word for words in seconds for word in words)
    return {word: _FLOOR + math.log(len(seconds) / count) for word, count in frequency.items()}


def _weights(inside: Sequence[frozenset[str]], rarity: Mapping[str, float]) -> dict[str, float]:
    """Share of the segment's seconds that have a stem, times its rarity in the video."""
    frequency = Counter(word for words in inside for word in words)
    return {word: count / len(inside) * rarity[word] for word, count in frequency.items()}


def _sentences(text: str) -> list[_Sentence]:
    found = []
    for number, each in enumerate(_SENTENCE_END.split(text.strip())):
        told = sentence(_PREAMBLE.sub("", each))
        factor = (_LEAD if number == 0 else 1.0) * (_PICTURE if _ABOUT_THE_PICTURE.search(told) else 1.0)
        found.append(_Sentence(told, factor))
    return found
