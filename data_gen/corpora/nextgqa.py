"""NExT-GQA: human five-choice questions with human clue intervals; the trees from one model caption a second.

Files: `val.csv` (video_id, question, answer, qid, type, a0 … a4) and `gsub_val.json` (`{video: {duration, location:
{qid: [[begin, end], …]}}}`) of doc-doc/NExT-GQA, or both for `test`; and the captions of wxh1996/VideoAgent, a zip of
`<video>_cap.json`, each `{"0": "…", "1": "…"}` by whole second.
"""

import csv
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from data_gen.corpora import rows
from data_gen.corpora.choice import keep
from data_gen.corpora.corpus import Corpus, LazyTrees
from data_gen.corpora.extract import extract
from data_gen.corpora.source_files import find_files, only, parse_json, read_json
from navigation import CaptionTree, InputError, Question

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
    questions = []
    for number, row in _table(table, skips):
        with skips.reading(f"{NAME}/{table.name} line {number}"):
            questions.append(_question(row, grounding, captions, skips))
    captions.report_late({question.video_id: question.duration for question in questions}, skips)
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
        self._last: dict[str, int] = {}
        for member in sorted(name for name in self._archive.namelist() if name.endswith("_cap.json")):
            video_id = PurePosixPath(member).name.removesuffix("_cap.json")
            with skips.reading(f"{NAME}/{member}"):
                found = self._read(member, skips)
                skips.once(f"captions of {video_id}")
                self._members[video_id], self._last[video_id] = member, max(found)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._members

    def tree(self, video_id: str, duration: float) -> CaptionTree:
        """The tree of a video, captions past its end left out."""
        found = self._read(self._members[video_id])
        inside = {second: text for second, text in found.items() if second < duration}
        return extract(video_id, duration, inside, f"{NAME} captions, one a second")

    def report_late(self, durations: Mapping[str, float], skips: rows.Skips) -> None:
        for video_id, duration in durations.items():
            if self._last[video_id] >= duration:
                detail = f"second {self._last[video_id]}, the video lasts {duration} s"
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
