"""HiREST: how-to videos, a moment and its steps with headings and bounds, by people.

File: `all_data_val.json` (or `all_data_train.json`) of j-min/HiREST: `{prompt: {"<video>.mp4": {v_duration,
bounds, steps: [{index, heading, absolute_bounds}]}}}`; the prompt is the goal and `bounds` the moment, in seconds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_gen.corpora import rows
from data_gen.corpora.actions import Action, AnnotatedVideo
from data_gen.corpora.corpus import Corpus
from data_gen.corpora.derive import annotated_corpus
from data_gen.corpora.source_files import find_files, only, read_json
from navigation import InputError

NAME = "hirest"


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """Questions derived from the steps and trees composed of them.

    Raises:
        InputError: no such file, or a file that is not HiREST's.
    """
    path = only(NAME, find_files(NAME, data)[0])
    skips = rows.Skips()
    document = read_json(path, lambda key: skips.add(f"{NAME}/{path.name}", "duplicate key", key))
    if not isinstance(document, Mapping):
        raise InputError(path, "file", rows.shown(document), "hirest wants an object of prompts, each with its videos")
    videos = []
    for prompt, found in document.items():
        if not isinstance(found, Mapping):
            skips.add(f"{NAME}/{prompt}", "not an object", rows.shown(found))
            continue
        for file_name, row in found.items():
            with skips.reading(f"{NAME}/{file_name}"):
                videos.append(_video(prompt, file_name, row, skips))
    return annotated_corpus(NAME, videos, skips, seed, limit)


def _video(prompt: str, file_name: str, row: Any, skips: rows.Skips) -> AnnotatedVideo:
    row = rows.mapping(row)
    video_id = rows.as_text(file_name, "video").removesuffix(".mp4")
    if not video_id:
        raise rows.BadRow("empty text", "video")
    goal = rows.as_text(prompt, "prompt")
    duration = rows.duration(row, "v_duration")
    found = rows.items(row, "steps")
    skips.once(f"{NAME}/{video_id}")
    if not found:
        raise rows.BadRow("no annotated steps")
    moment = rows.items(row, "bounds")
    if len(moment) != 2:
        raise rows.BadRow("wrong type", f"bounds is {rows.shown(moment)}, not [begin, end]")
    goal_span = rows.span(moment[0], moment[1], duration, "bounds")
    steps = []
    for number, step in enumerate(found):
        with skips.reading(f"{NAME}/{video_id}/step {number}"):
            steps.append(_step(step, number, duration))
    if not steps:
        raise rows.BadRow("no annotated steps", "every step was skipped")
    steps.sort(key=lambda step: (step.start, step.end))
    return AnnotatedVideo(video_id, duration, goal, goal_span, steps)


def _step(row: Any, number: int, duration: float) -> Action:
    row = rows.mapping(row)
    bounds = rows.items(row, "absolute_bounds")
    if len(bounds) != 2:
        raise rows.BadRow("wrong type", f"absolute_bounds is {rows.shown(bounds)}, not [begin, end]")
    start, end = rows.span(bounds[0], bounds[1], duration, "absolute_bounds")
    return Action(number, start, end, rows.text(row, "heading"))
