"""Money that earlier runs into a folder have spent."""

import json
from collections.abc import Sequence
from pathlib import Path

from data_gen.captions.video_files import VideoFile
from navigation.files import child_path


def journal_path(out: Path, video_id: str) -> Path:
    """A video's journal in a run's folder."""
    return child_path(out / ".run" / "journals", video_id, ".jsonl")


def spent_before(out: Path, videos: Sequence[VideoFile]) -> float:
    """USD in the journals of these videos, whatever their settings were.

    All are read before the first request: a segment that is asked again early must not spend what later videos have
    spent already.
    """
    total = 0.0
    for video in videos:
        try:
            lines = journal_path(out, video.id).read_bytes().splitlines()
        except FileNotFoundError:
            continue
        by_segment: dict[str, float] = {}
        for line in lines:
            try:
                record = json.loads(line)
                by_segment[record["key"]] = float(record["value"]["usage"].get("usd", 0.0))
            except (ValueError, LookupError, TypeError, AttributeError):
                # The header, the sum of a finished video, and damaged lines tell of no segment.
                continue
        total += sum(by_segment.values())
    return total
