"""Figures of a set of walks, gathered in one pass, with a random sample of walks to read."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from navigation import VIDEO_QA, Trajectory


@dataclass(slots=True)
class SetFigures:
    """Counts over all walks; `depth` counts visits by level, `sample` holds the walks to read."""

    walks: int = 0
    statuses: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    turns: Counter = field(default_factory=Counter)
    visits: Counter = field(default_factory=Counter)
    tools: Counter = field(default_factory=Counter)
    depth: Counter = field(default_factory=Counter)
    hints: Counter = field(default_factory=Counter)
    tokens: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    malformed: int = 0
    dropped_calls: int = 0
    with_video_qa: int = 0
    models: Counter = field(default_factory=Counter)
    sample: list[Trajectory] = field(default_factory=list)


def gather(walks: Iterable[Trajectory], figures: SetFigures, shown: int = 20, seed: int = 0) -> Iterator[Trajectory]:
    """Passes walks on and counts them; keeps `shown` of them, each with equal chance (reservoir sampling, Vitter
    1985)."""
    chance = random.Random(seed)
    for number, walk in enumerate(walks):
        figures.walks += 1
        figures.statuses[walk.status.value] += 1
        figures.turns[walk.turns] += 1
        figures.visits[len(walk.visits)] += 1
        figures.tools.update(visit.tool for visit in walk.visits)
        figures.depth.update(len(visit.path) for visit in walk.visits)
        figures.with_video_qa += any(visit.tool == VIDEO_QA for visit in walk.visits)
        teacher = walk.teacher
        figures.ends[str(teacher.get("end", "right" if walk.correct else "wrong"))] += 1
        figures.hints[int(teacher.get("hints", 0))] += 1
        figures.models[str(teacher.get("model", ""))] += 1
        figures.tokens.append(walk.completion_tokens)
        figures.prompt_tokens += walk.prompt_tokens
        figures.completion_tokens += walk.completion_tokens
        figures.usd += float(teacher.get("usd", 0.0))
        figures.malformed += int(teacher.get("malformed", 0))
        figures.dropped_calls += int(teacher.get("dropped_calls", 0))
        if len(figures.sample) < shown:
            figures.sample.append(walk)
        elif (place := chance.randint(0, number)) < shown:
            figures.sample[place] = walk
        yield walk
