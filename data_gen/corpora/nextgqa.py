"""NExT-GQA: human five-choice questions with human clue intervals; the trees from one model caption a second.

Files: `val.csv` (video_id, question, answer, qid, type, a0 … a4) and `gsub_val.json` (`{video: {duration, location:
{qid: [[begin, end], …]}}}`) of doc-doc/NExT-GQA, or both for `test`; and the captions of wxh1996/VideoAgent, a zip of
`<video>_cap.json`, each `{"0": "…", "1": "…"}` by whole second.
"""

import csv
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from data_gen.corpora import rows
from data_gen.corpora.actions import sentence, stems, word_count
from data_gen.corpora.corpus import Corpus, LazyTrees, keep
from data_gen.corpora.source_files import find_files, only, parse_json, read_json
from navigation import ANNOTATION, CaptionTree, InputError, Line, Question, SegmentPath, TimeGrid

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
    """The tree of a video from captions by whole second in `[0, duration)`; each also becomes a line of the tree.

    Vision models caption neighbouring frames in nearly the same words. A segment keeps the sentences that cover most of
    what lasts in it and is rare elsewhere in its video (TF-IDF over seconds), each word counted once: greedy budgeted
    coverage as in extractive summarisation (Lin and Bilmes, "A Class of Submodular Functions for Document
    Summarization", ACL 2011). A leaf always keeps its central second's first sentence; a level above extracts from what
    its children kept.
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
    lines = tuple(Line(second, min(second + 1, duration), text, ANNOTATION) for second, text in sorted(seconds.items()))
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
    left, taken, covered, words = list(pool), set[_Sentence](), set[str](), 0
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


NAME = "nextgqa"
CHOICES = ("a0", "a1", "a2", "a3", "a4")
COLUMNS = ("video_id", "question", "answer", "qid", "type", *CHOICES)
KINDS = ("CW", "CH", "TN", "TC", "TP")
"""Causal why and how; temporal next, current, previous."""


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """The questions that the grounding file locates, options in the source's order.

    A question without a location is no part of NExT-GQA and is skipped, as is one about a video without captions.

    Raises:
        InputError: no such files, or files that are not NExT-GQA's.
    """
    tables, groundings, archives = find_files(NAME, data)
    table = only(NAME, tables)
    skips = rows.Skips()
    grounding = _grounding(_of_split(groundings, table.stem), skips)
    captions = _Captions(only(NAME, archives), skips)
    questions, told = [], set()
    for number, row in _table(table, skips):
        told.add(row.get("video_id"))
        with skips.reading(f"{NAME}/{table.name} line {number}"):
            questions.append(_question(row, grounding, captions, skips))
    captions.report_late({question.video_id: question.duration for question in questions}, skips)
    for video_id in sorted(grounding.keys() - told):
        skips.add(f"{NAME}/{video_id}", "grounding of a video that no question is about")
    for video_id in sorted(captions.videos - told):
        skips.add(f"{NAME}/{video_id}", "captions of a video that no question is about")
    questions = keep(questions, seed, limit)
    durations = {question.video_id: question.duration for question in questions}
    trees = LazyTrees(list(durations), lambda video_id: captions.tree(video_id, durations[video_id]))
    return Corpus(NAME, questions, trees, skips.rows)


def _of_split(groundings: list[Path], split: str) -> Path:
    return next((path for path in groundings if path.stem == f"gsub_{split}"), None) or only(NAME, groundings)


def _grounding(path: Path, skips: rows.Skips) -> Mapping[str, Any]:
    found = read_json(path, lambda key: skips.add(f"{NAME}/{path.name}", "duplicate key", key))
    if not isinstance(found, Mapping):
        raise InputError(path, "file", rows.shown(found), "nextgqa wants an object of videos")
    return found


def _table(path: Path, skips: rows.Skips) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with their line numbers; a line that csv cannot read is skipped."""
    try:
        # Bytes that are no UTF-8 spoil their own row only.
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(path, "columns", missing, f"nextgqa wants the columns {', '.join(COLUMNS)}")
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    skips.add(f"{NAME}/{path.name} line {reader.line_num}", "unreadable line", str(error))
                    continue
                yield reader.line_num, row
    except (OSError, csv.Error) as error:
        raise InputError(path, "file", str(error), "give NExT-GQA's table of questions") from None


def _question(
    row: Mapping[str, Any], grounding: Mapping[str, Any], captions: "_Captions", skips: rows.Skips
) -> Question:
    if None in row or None in row.values():
        raise rows.BadRow("missing key", "the line has more or fewer fields than the header")
    video_id, question_number = rows.text(row, "video_id"), rows.text(row, "qid")
    question_id = f"{NAME}/{video_id}/{question_number}"
    text = rows.text(row, "question")
    options = rows.options([row[choice] for choice in CHOICES])
    letter = rows.letter_of(rows.text(row, "answer"), options)
    kind = rows.text(row, "type")
    if kind not in KINDS:
        raise rows.BadRow("unknown question type", f"{question_id}: {kind}")
    if video_id not in grounding:
        raise rows.BadRow("video without grounding", video_id)
    located = rows.mapping(grounding[video_id])
    duration = rows.duration(located, "duration")
    location = rows.mapping(rows.get(located, "location"))
    if question_number not in location:
        raise rows.BadRow("no clue interval", question_id)
    clues = rows.clues(location[question_number], duration)
    if video_id not in captions:
        raise rows.BadRow("no captions for its video", video_id)
    skips.once(question_id)
    return Question(question_id, video_id, text, options, letter, clues, duration, NAME, kind)


class _Captions:
    """The zip of captions: every member is checked once, and read again when its tree is wanted."""

    def __init__(self, path: Path, skips: rows.Skips) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(path, "file", str(error), "give the zip of captions as downloaded") from None
        self._members: dict[str, str] = {}
        self._seconds: dict[str, list[int]] = {}
        for member in sorted(name for name in self._archive.namelist() if name.endswith("_cap.json")):
            video_id = PurePosixPath(member).name.removesuffix("_cap.json")
            with skips.reading(f"{NAME}/{member}"):
                found = self._read(member, skips)
                skips.once(f"captions of {video_id}")
                self._members[video_id], self._seconds[video_id] = member, sorted(found)

    @property
    def videos(self) -> Set[str]:
        return self._members.keys()

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._members

    def tree(self, video_id: str, duration: float) -> CaptionTree:
        """The tree of a video, captions past its end left out."""
        found = self._read(self._members[video_id])
        inside = {second: text for second, text in found.items() if second < duration}
        return extract(video_id, duration, inside, f"{NAME} captions, one a second")

    def report_late(self, durations: Mapping[str, float], skips: rows.Skips) -> None:
        for video_id, duration in durations.items():
            if late := [second for second in self._seconds[video_id] if second >= duration]:
                detail = f"{len(late)} captions, from second {late[0]} on: the video lasts {duration} s"
                skips.add(f"{NAME}/{self._members[video_id]}", "caption past the video's end", detail)

    def _read(self, member: str, skips: rows.Skips | None = None) -> dict[int, str]:
        """Captions by second; a bad second is reported where `skips` is given, a bad file is a `BadRow`."""
        name = f"{NAME}/{member}"
        try:
            text = self._archive.read(member).decode("utf-8-sig")
            document = parse_json(text, lambda key: skips.add(name, "duplicate key", key) if skips else None)
        except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise rows.BadRow("unreadable captions", str(error)) from None
        found = {}
        for key, value in rows.mapping(document).items():
            try:
                if not (key.isascii() and key.isdigit() and len(key) < 10):
                    raise rows.BadRow("wrong type", f"{rows.shown(key)} is no whole second")
                found[int(key)] = rows.as_text(value, f"second {key}")
            except rows.BadRow as bad:
                if skips is not None:
                    skips.add(f"{name} second {rows.shown(key)}", bad.reason, bad.detail)
        if not found:
            raise rows.BadRow("unreadable captions", "no second has a caption")
        return found
