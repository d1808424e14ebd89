"""Where an episode says its answer comes from: seconds, as grounding benchmarks score them.

A policy may cite spans in its last message: `<evidence>12.0-16.0, 40.0-44.5</evidence>`, best first. One that cites
nothing is taken at its visits: the segments of the deepest level that it opened, the last opened first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from navigation import GET_CAPTION, SegmentPath, TimeGrid, Visit

MOST = 5
"""Spans that count: CG-Bench ignores intervals beyond five."""

_CITED = re.compile(r"<evidence>([^<>]{1,400})</evidence>")
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*-\s*(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)

Span = tuple[float, float]


def cite(spans: Sequence[Span]) -> str:
    """The tag that `evidence` reads back; empty without spans."""
    return f"<evidence>{', '.join(f'{begin:.3f}-{end:.3f}' for begin, end in spans)}</evidence>" if spans else ""


def evidence(messages: Sequence[Mapping[str, Any]], visits: Sequence[Visit], grid: TimeGrid) -> list[Span]:
    """At most five spans in seconds inside the video, most important first; empty without citation and visits."""
    content = messages[-1].get("content") if messages else None
    cited = _CITED.findall(content) if isinstance(content, str) else []
    if cited:
        spans = [(float(begin), min(grid.duration, float(end))) for begin, end in _SPAN.findall(cited[-1])]
        return [span for span in spans if span[0] <= span[1]][:MOST]
    opened = [visit.path for visit in visits if visit.tool == GET_CAPTION]
    return _runs(opened, grid)[:MOST] if opened else []


def _runs(opened: Sequence[SegmentPath], grid: TimeGrid) -> list[Span]:
    """Runs of neighbouring opened segments of the deepest level reached; the run opened last comes first."""
    deepest = max(map(len, opened))
    last = {grid.index(path): place for place, path in enumerate(opened) if len(path) == deepest}
    runs: list[list[int]] = []
    for index in sorted(last):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    runs.sort(key=lambda run: -max(last[index] for index in run))
    begin = [grid.interval(grid.path(run[0], deepest))[0] for run in runs]
    end = [grid.interval(grid.path(run[-1], deepest))[1] for run in runs]
    return list(zip(begin, end, strict=True))
