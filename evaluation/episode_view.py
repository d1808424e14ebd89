"""A trajectory as pages show it: turn by turn, and drawn on its caption tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.style import spread
from navigation import GET_CAPTION, VIDEO_QA, CaptionTree, Question, Trajectory, TreeStore, Visit
from navigation.grid import clock, format_path
from navigation.tools import parse_path

WIDTH = 540.0
_LEFT, _TOP = 58.0, 26.0
_BAND, _LANE, _GAP = 24.0, 22.0, 8.0
_BADGE = 17.0
_NARROWEST = 4.0
_MOST_CELLS = 128
"""Rows of more cells show the grid of the finest level that has no more."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A visited segment. `hit` if it shares time with a clue; `title` is shown on hover."""

    x: float
    y: float
    width: float
    hit: bool
    title: str


@dataclass(frozen=True, slots=True)
class Badge:
    """The number of a visit, below its cell; `x` may be shifted so that badges do not cover each other."""

    x: float
    y: float
    cell_x: float
    cell_y: float
    number: int
    hit: bool
    question: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One level: its label, its band and the borders drawn in it."""

    label: str
    y: float
    borders: list[float]
    note: str


@dataclass(frozen=True, slots=True)
class EpisodeFigure:
    """Everything the template draws, in SVG units."""

    width: float
    height: float
    left: float
    right: float
    band: float
    rows: list[Row]
    cells: list[Cell]
    badges: list[Badge]
    clues: list[tuple[float, float]]
    clue_top: float
    clue_bottom: float
    ticks: list[tuple[float, str]]


def episode_figure(tree: CaptionTree, trajectory: Trajectory, clues: Sequence[Sequence[float]]) -> EpisodeFigure:
    """Lays out one episode.

    Args:
        tree: The tree that was played.
        trajectory: Its visits are numbered from 1.
        clues: Clue intervals in seconds; may be empty.
    """
    grid = tree.grid
    scale = (WIDTH - _LEFT - 8) / grid.duration
    rows: list[Row] = []
    cells: list[Cell] = []
    badges: list[Badge] = []
    visits = [visit for visit in trajectory.visits if grid.contains(visit.path)]
    for level in range(1, grid.depth + 1):
        y = _TOP + (level - 1) * (_BAND + _LANE + _GAP)
        here = [(number, visit) for number, visit in enumerate(visits, 1) if len(visit.path) == level]
        drawn = level
        while grid.width**drawn > _MOST_CELLS and drawn > 1:
            drawn -= 1
        count = grid.width**drawn
        borders = [_LEFT + grid.boundary(cell, count) * scale for cell in range(1, count)]
        crowded = len(here) * _BADGE > WIDTH - _LEFT
        name = "leaf" if level == grid.depth else f"level {level}"
        rows.append(Row(name, y, borders, f"{len(here)} visits" if crowded else ""))
        placed = []
        for number, visit in here:
            start, end = grid.interval(visit.path)
            hit = any(begin < end and finish > start for begin, finish in clues)
            width = max(_NARROWEST, (end - start) * scale)
            x = min(_LEFT + (start + end) / 2 * scale - width / 2, WIDTH - 8 - width)
            if all(cell.x != x or cell.y != y for cell in cells):
                cells.append(Cell(x, y, width, hit, f"{number}. {_title(tree, visit)}"))
            placed.append((x + width / 2, number, hit, visit.tool == VIDEO_QA))
        if not crowded:
            badges.extend(_badges(placed, y))
    bottom = rows[-1].y + _BAND + _LANE
    quarters = [grid.duration * part / 4 for part in range(5)]
    return EpisodeFigure(
        width=WIDTH,
        height=bottom + 24,
        left=_LEFT,
        right=WIDTH - 8,
        band=_BAND,
        rows=rows,
        cells=cells,
        badges=badges,
        clues=[(_LEFT + begin * scale, max(2.0, (end - begin) * scale)) for begin, end in clues],
        clue_top=_TOP - 8,
        clue_bottom=rows[-1].y + _BAND + 4,
        ticks=[(_LEFT + time * scale, clock(time)) for time in quarters],
    )


def _badges(placed: Sequence[tuple[float, int, bool, bool]], y: float) -> list[Badge]:
    """Badges in one lane, moved as little as possible until none covers another."""
    placed = sorted(placed)
    xs = spread([x for x, *_ in placed], _BADGE, _LEFT, WIDTH - 8)
    return [
        Badge(x, y + _BAND + 13, cell_x, y + _BAND, number, hit, question)
        for x, (cell_x, number, hit, question) in zip(xs, placed, strict=True)
    ]


def _title(tree: CaptionTree, visit: Visit) -> str:
    start, end = tree.grid.interval(visit.path)
    asked = f" asked: {visit.query}" if visit.query else ""
    return f"{format_path(visit.path)} {clock(start)}-{clock(end)}{asked}\n{tree.captions.get(visit.path, '')}"[:600]


_MOST_CALLS = 6
_LONGEST = 700


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call and what came back; `visit` is its number in the drawing, None for a refused call."""

    text: str
    reply: str
    visit: int | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One assistant message. `hidden` counts calls that are left out of `calls`."""

    reasoning: str
    content: str
    calls: list[Call]
    hidden: int


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """One episode, ready for the template."""

    label: str
    trajectory: Trajectory
    figure: EpisodeFigure
    turns: list[Turn]
    reward: list[tuple[str, float | None]]


@dataclass(frozen=True, slots=True)
class EpisodeGroup:
    """The episodes of several policies on one question."""

    question: Question
    episodes: list[EpisodeView]


def group_episodes(
    episodes: Sequence[tuple[str, Trajectory]], questions: Mapping[str, Question], trees: TreeStore
) -> list[EpisodeGroup]:
    """Episodes by question, in the order in which the questions and the labels first come."""
    groups: dict[str, EpisodeGroup] = {}
    for label, trajectory in episodes:
        question = questions[trajectory.question_id]
        group = groups.setdefault(question.id, EpisodeGroup(question, []))
        tree = trees[trajectory.video_id]
        figure = episode_figure(tree, trajectory, question.clue_intervals)
        reward = [(name.replace("_", " "), value) for name, value in trajectory.reward.items()]
        group.episodes.append(EpisodeView(label, trajectory, figure, turns_of(trajectory), reward))
    return list(groups.values())


def turns_of(
    trajectory: Trajectory, most_calls: int | None = _MOST_CALLS, longest: int | None = _LONGEST
) -> list[Turn]:
    """The turns of a transcript. A call is a visit if the environment recorded it, in order.

    Args:
        trajectory: Whose messages are read.
        most_calls: Calls of a turn to keep; None keeps all.
        longest: Characters of a text to keep; None keeps all.
    """
    turns: list[Turn] = []
    replies = [message for message in trajectory.messages if message.get("role") == "tool"]
    visits = list(enumerate(trajectory.visits, 1))
    for message in trajectory.messages:
        if message.get("role") != "assistant":
            continue
        calls = []
        for call in message.get("tool_calls") or ():
            reply = str(replies.pop(0).get("content", "")) if replies else "(no reply)"
            name, arguments = _parts(call)
            number = None
            if visits and visits[0][1].tool == name and visits[0][1].path == parse_path(arguments.get("segment")):
                number = visits.pop(0)[0]
            calls.append(Call(_written(name, arguments), _clip(reply, longest), number))
        reasoning = _clip(str(message.get("reasoning_content") or ""), longest)
        content = _clip(str(message.get("content") or ""), longest)
        kept = calls[:most_calls]
        turns.append(Turn(reasoning, content, kept, len(calls) - len(kept)))
    return turns


def _parts(call: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    return str(function.get("name")), arguments if isinstance(arguments, Mapping) else {}


def _written(name: str, arguments: Mapping[str, Any]) -> str:
    path = parse_path(arguments.get("segment"))
    where = format_path(path) if path is not None else _clip(repr(arguments.get("segment")))
    short = "open" if name == GET_CAPTION else name.replace("_", " ")
    query = arguments.get("query")
    return f"{short} {where}" + (f" “{_clip(str(query))}”" if query else "")


def _clip(text: str, longest: int | None = _LONGEST) -> str:
    text = text.strip()
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"
