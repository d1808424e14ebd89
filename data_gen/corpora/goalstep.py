"""Ego4D Goal-Step: goal > step > substep, timed and worded by people.

File: `goalstep_valid.json` (or `goalstep_train.json`) of facebookresearch/ego4d-goalstep: `{"videos": [{video_uid,
end_time, goal_description, segments: [step]}]}`; a step is `{start_time, end_time, step_description, step_category,
summary, segments: [substep]}`, times in seconds of the video.
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

NAME = "goalstep"


def load(data: Path, seed: int = 0, limit: int | None = None) -> Corpus:
    """Questions derived from the annotations and trees composed of them.

    Raises:
        InputError: no such file, or a file that is not Goal-Step's.
    """
    path = only(NAME, find_files(NAME, data)[0])
    skips = rows.Skips()
    document = read_json(path, lambda key: skips.add(f"{NAME}/{path.name}", "duplicate key", key))
    if not isinstance(document, Mapping) or not isinstance(document.get("videos"), list):
        raise InputError(path, "file", rows.shown(document), "goalstep wants an object with a list `videos`")
    videos = []
    for number, row in enumerate(document["videos"]):
        with skips.reading(f"{NAME}/videos[{number}]"):
            videos.append(_video(row, skips))
    return annotated_corpus(NAME, videos, skips, seed, limit)


def _video(row: Any, skips: rows.Skips) -> AnnotatedVideo:
    row = rows.mapping(row)
    video_id = rows.text(row, "video_uid")
    duration = rows.duration(row, "end_time")
    goal = rows.optional_text(row, "goal_description")
    segments = rows.items(row, "segments")
    skips.once(f"{NAME}/{video_id}")
    steps = []
    for number, segment in enumerate(segments):
        step_id = f"{NAME}/{video_id}/step {number}"
        with skips.reading(step_id):
            step = _action(segment, number, duration, skips, step_id)
            steps.append(step)
    if not steps:
        raise rows.BadRow("no annotated steps", video_id)
    steps.sort(key=lambda step: (step.start, step.end))
    return AnnotatedVideo(video_id, duration, goal, (0.0, duration), steps)


def _action(row: Any, number: int, duration: float, skips: rows.Skips, step_id: str, is_part: bool = False) -> Action:
    row = rows.mapping(row)
    start, end = rows.span(rows.get(row, "start_time"), rows.get(row, "end_time"), duration, "step")
    text = rows.text(row, "step_description").strip(" .`")
    if not text:
        raise rows.BadRow("empty text", "step_description")
    summary = []
    for place, item in enumerate(rows.items(row, "summary", optional=True)):
        with skips.reading(f"{step_id}/summary {place}"):
            summary.append(rows.as_text(item, "summary"))
    category = rows.optional_text(row, "step_category")
    parts = []
    if not is_part:
        for place, part in enumerate(rows.items(row, "segments", optional=True)):
            part_id = f"{step_id}/substep {place}"
            with skips.reading(part_id):
                parts.append(_action(part, place, duration, skips, part_id, is_part=True))
        parts.sort(key=lambda part: (part.start, part.end))
    return Action(number, start, end, text, category, tuple(summary), tuple(parts))
