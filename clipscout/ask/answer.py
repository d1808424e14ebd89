"""What `ask` gives back: the answer, what it rests on, what it cost, and what reading everything would have cost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from clipscout.ask.video_source import VideoSource
from navigation import LETTERS, VIDEO_QA, Question, SegmentPath, Trajectory
from rewards import RewardMix
from runtime import Usage

_CHARACTERS_PER_TOKEN = 4
"""For estimates."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One segment that was read: its time span in seconds, its caption, and what was asked about it."""

    path: SegmentPath
    start: float
    end: float
    caption: str
    asked: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What one question cost.

    `prompt_tokens` and `completion_tokens` are the policy's; what captions and clips took is `vision`. `usd` counts
    what the price table knows. `exhaustive` is what reading every leaf would take: visits, captions that would have to
    be made first, and the policy's prompt tokens, estimated at four characters a token.
    """

    visits: int
    visit_units: float
    segments: int
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    captions_made: int
    vision: dict[str, float]
    usd: float
    exhaustive: dict[str, int]
    lookups: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one question. `text` is None where the episode gave none; `status` then says why."""

    id: str
    video: str
    question: str
    options: tuple[str, ...]
    text: str | None
    letter: str | None
    status: str
    error: str | None
    policy: str
    evidence: list[Evidence]
    cost: Cost
    visits: list[dict[str, Any]]
    messages: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self, messages: bool = True) -> dict[str, Any]:
        record = asdict(self)
        if not messages:
            del record["messages"]
        return record


def answer_of(
    source: VideoSource,
    question: Question,
    trajectory: Trajectory,
    policy: str,
    asked: Sequence[tuple[SegmentPath, str, str]],
    vision: Usage,
    captions_made: int,
) -> Answer:
    """Reads a finished episode.

    Args:
        asked: Segment, query and reply of each `video_qa` visit in order, as the environment recorded them.
        vision: What captions and clips took during it.
        captions_made: How many captions were written during it.
    """
    status = trajectory.status.value
    letter, text = None, trajectory.prediction
    if question.options and trajectory.prediction:
        letter = trajectory.prediction
        text = f"{letter}. {question.options[LETTERS.index(letter)]}"
    cost = Cost(
        visits=len(trajectory.visits),
        visit_units=_units(trajectory),
        segments=source.tree.grid.segment_count,
        lookups=len(trajectory.lookups),
        seconds=round(trajectory.seconds, 3),
        prompt_tokens=trajectory.prompt_tokens,
        completion_tokens=trajectory.completion_tokens,
        captions_made=captions_made,
        vision=vision.to_dict(),
        usd=vision.usd,
        exhaustive=_exhaustive(source, trajectory),
    )
    return Answer(
        id=question.id,
        video=source.tree.video_id,
        question=question.question,
        options=question.options,
        text=text,
        letter=letter,
        status=status,
        error=trajectory.error,
        policy=policy,
        evidence=_evidence(source, trajectory, asked),
        cost=cost,
        visits=[visit.to_dict() for visit in trajectory.visits],
        messages=trajectory.messages,
    )


def _evidence(
    source: VideoSource, trajectory: Trajectory, asked: Sequence[tuple[SegmentPath, str, str]]
) -> list[Evidence]:
    """Segments in the order in which they were first opened."""
    questions_of: dict[SegmentPath, list[tuple[str, str]]] = {visit.path: [] for visit in trajectory.visits}
    for path, query, reply in asked:
        questions_of[path].append((query, reply))
    grid = source.tree.grid
    return [
        Evidence(path, *grid.interval(path), source.known(path) or "", tuple(questions))
        for path, questions in questions_of.items()
    ]


def _units(trajectory: Trajectory) -> float:
    """Visit units, as the default reward prices them."""
    settings = RewardMix().settings.visit_cost
    prices = settings.prices if settings is not None else {}
    called = [visit.tool for visit in trajectory.visits] + [lookup.tool for lookup in trajectory.lookups]
    return sum(prices.get(tool, 1.0) for tool in called)


def _exhaustive(source: VideoSource, trajectory: Trajectory) -> dict[str, int]:
    grid = source.tree.grid
    leaves = grid.width**grid.depth
    known = [caption for path in grid.paths(grid.depth) if (caption := source.known(path)) is not None]
    characters: float = sum(map(len, known))
    missing = leaves - len(known)
    if missing:
        # Captions that are not there are taken to be as long as those that were read.
        replies = sum(len(str(message.get("content"))) for message in trajectory.messages if message["role"] == "tool")
        opened = sum(visit.tool != VIDEO_QA for visit in trajectory.visits)
        characters += missing * (characters / len(known) if known else replies / max(1, opened))
    return {
        "visits": leaves,
        "captions_to_make": missing if source.captions_cost else 0,
        "prompt_tokens": round(characters / _CHARACTERS_PER_TOKEN),
    }
