"""A trajectory as pages show it: turn by turn, and drawn on its caption tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evaluation.style import spread
from navigation import GET_CAPTION, VIDEO_QA, CaptionTree, Question, SegmentPath, Trajectory, TreeStore
from navigation.errors import is_number
from navigation.grid import clock, format_path
from navigation.search import RESULT
from navigation.tools import JUMP, SEARCH, parse_path

WIDE, NARROW = 560.0, 300.0
"""Narrowest drawing in pixels for which the badges of each of the two arrangements are laid out."""
_TOP, _BAND, _LANE, _GAP = 38.0, 24.0, 22.0, 24.0
_BADGE = 17.0
_THINNEST = 0.6
_MOST_CELLS = 128
"""Rows of more cells show the grid of the finest level that has no more."""
_LOOKED_UP = {SEARCH: "query", JUMP: "time"}
"""The argument that a lookup's record holds."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A segment in a row. `hit` if it shares time with a clue; `title` is its name; `visit` its first visit, if any."""

    x: float
    y: float
    width: float
    path: SegmentPath
    title: str
    hit: bool = False
    visit: int | None = None


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
    """One level: its label, its band, the borders drawn in it and the segments between them."""

    label: str
    y: float
    borders: list[float]
    slots: list[Cell]


@dataclass(frozen=True, slots=True)
class Badges:
    """Badges of one arrangement; `notes` are `(y, text)` of rows that hold too many visits to number."""

    name: str
    badges: list[Badge]
    notes: list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class EpisodeFigure:
    """Everything the template draws: y and heights in pixels, x and widths in percent, so that it fits any width."""

    height: float
    band: float
    rows: list[Row]
    cells: list[Cell]
    arrangements: list[Badges]
    clues: list[tuple[float, float]]
    clue_top: float
    clue_bottom: float
    ticks: list[tuple[float, str]]
    found: list[Cell]
    """What lookups named, once each, in the order in which they were found."""


def episode_figure(tree: CaptionTree, trajectory: Trajectory, clues: Sequence[Sequence[float]]) -> EpisodeFigure:
    """Lays out one episode.

    Args:
        tree: The tree that was played.
        trajectory: Its visits are numbered from 1.
        clues: Clue intervals in seconds; may be empty.
    """
    grid = tree.grid
    scale = 100 / grid.duration
    rows: list[Row] = []
    cells: dict[SegmentPath, Cell] = {}
    arrangements = [Badges("wide", [], []), Badges("narrow", [], [])]
    visits = [visit for visit in trajectory.visits if grid.contains(visit.path)]
    for level in range(1, grid.depth + 1):
        y = _TOP + (level - 1) * (_BAND + _LANE + _GAP)
        drawn = level
        while grid.width**drawn > _MOST_CELLS and drawn > 1:
            drawn -= 1
        count = grid.width**drawn
        name = "leaf" if level == grid.depth else f"level {level}"
        rows.append(
            Row(
                f"{name}, {clock(grid.duration / grid.width**level)} each",
                y,
                [100 * cell / count for cell in range(1, count)],
                [_cell(tree, path, y, scale) for path in grid.paths(drawn)],
            )
        )
        placed = []
        for number, visit in enumerate(visits, 1):
            if len(visit.path) != level:
                continue
            start, end = grid.interval(visit.path)
            hit = any(begin < end and finish > start for begin, finish in clues)
            if visit.path not in cells:
                cells[visit.path] = _cell(tree, visit.path, y, scale, hit, number, visit.query)
            placed.append(((start + end) / 2 * scale, number, hit, visit.tool == VIDEO_QA))
        for arrangement, pixels in zip(arrangements, (WIDE, NARROW), strict=True):
            if len(placed) * _BADGE > pixels:
                arrangement.notes.append((y + _BAND + 15, f"{len(placed)} visits"))
            else:
                arrangement.badges.extend(_badges(placed, y, 100 * _BADGE / pixels))
    bottom = rows[-1].y + _BAND + _LANE
    quarters = [grid.duration * part / 4 for part in range(5)]
    return EpisodeFigure(
        height=bottom + 20,
        band=_BAND,
        rows=rows,
        cells=list(cells.values()),
        arrangements=arrangements,
        clues=[(begin * scale, max(_THINNEST, (end - begin) * scale)) for begin, end in clues],
        clue_top=16,
        clue_bottom=rows[-1].y + _BAND + 4,
        ticks=[(time * scale, clock(time)) for time in quarters],
        found=[_found(tree, path, text, rows, scale) for path, text in _first_found(tree, trajectory).items()],
    )


def _first_found(tree: CaptionTree, trajectory: Trajectory) -> dict[SegmentPath, str]:
    """Segments that a lookup named, with the first one's words."""
    first: dict[SegmentPath, str] = {}
    for call in (call for turn in turns_of(trajectory, None) for call in turn.calls):
        for result in call.results:
            if tree.grid.contains(result.path):
                first.setdefault(result.path, call.text)
    return first


def _found(tree: CaptionTree, path: SegmentPath, text: str, rows: Sequence[Row], scale: float) -> Cell:
    cell = _cell(tree, path, rows[len(path) - 1].y, scale)
    return replace(cell, title=f"{cell.title} found by {text}")


def _cell(
    tree: CaptionTree,
    path: SegmentPath,
    y: float,
    scale: float,
    hit: bool = False,
    visit: int | None = None,
    query: str | None = None,
) -> Cell:
    start, end = tree.grid.interval(path)
    width = max(_THINNEST, (end - start) * scale)
    x = max(0.0, min((start + end) / 2 * scale - width / 2, 100 - width))
    title = f"{format_path(path)} {clock(start)}-{clock(end)}"
    if visit is not None:
        asked = f" asked: {query}" if query else ""
        # Captions of an on-demand tree are looked up for what was opened alone.
        title = f"{visit}. {title}{asked}\n{tree.captions.get(path, '')}"[:600]
    return Cell(x, y, width, path, title, hit, visit)


def _badges(placed: Sequence[tuple[float, int, bool, bool]], y: float, apart: float) -> list[Badge]:
    """Badges in one lane, moved as little as possible until none covers another."""
    placed = sorted(placed)
    xs = spread([x for x, *_ in placed], apart, 0, 100)
    return [
        Badge(x, y + _BAND + 13, cell_x, y + _BAND, number, hit, question)
        for x, (cell_x, number, hit, question) in zip(xs, placed, strict=True)
    ]


_MOST_CALLS = 6
_LONGEST = 700


@dataclass(frozen=True, slots=True)
class Result:
    """A line of a lookup's reply; `opened` is the number of the first visit to its segment, None without one."""

    text: str
    path: SegmentPath
    time: str
    kind: str
    opened: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call and what came back.

    Attributes:
        visit: Its number in the drawing; None where it opened no segment.
        lookup: Which tool looked something up; "" for other calls and refused ones.
        results: What a lookup found; `reply` is then the rest of what came back.
    """

    text: str
    reply: str
    visit: int | None
    refused: bool
    lookup: str = ""
    results: Sequence[Result] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One assistant message. `hidden` counts calls that are left out of `calls`."""

    reasoning: str
    content: str
    calls: list[Call]
    hidden: int


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """One episode, ready for the template.

    Attributes:
        label: Whose it is.
        figure: Its drawing; None where its tree is not at hand, which `missing` says in words.
        reward: Recorded parts by name.
        anchor: Before every id of the page that belongs to this episode.
        facts: What else its first line says.
    """

    label: str
    trajectory: Trajectory
    figure: EpisodeFigure | None
    turns: list[Turn]
    reward: list[tuple[str, float]]
    anchor: str = ""
    facts: Sequence[str] = ()
    missing: str = ""


def episode_view(
    label: str,
    trajectory: Trajectory,
    tree: CaptionTree | None,
    clues: Sequence[Sequence[float]],
    whole: bool = False,
    **more: Any,
) -> EpisodeView:
    """What the template shows of one episode.

    Args:
        tree: None: no drawing.
        clues: Clue intervals in seconds; may be empty.
        whole: Every call and text in full; otherwise long ones are cut.
        more: Further attributes.
    """
    figure = episode_figure(tree, trajectory, clues) if tree is not None else None
    turns = turns_of(trajectory, None, None) if whole else turns_of(trajectory)
    reward = [(name.replace("_", " "), value) for name, value in trajectory.reward.items() if is_number(value)]
    return EpisodeView(label, trajectory, figure, turns, reward, **more)


@dataclass(frozen=True, slots=True)
class EpisodeGroup:
    """The episodes of several policies on one question."""

    question: Question
    episodes: list[EpisodeView]


def group_episodes(
    episodes: Sequence[tuple[str, Trajectory]], questions: Mapping[str, Question], trees: TreeStore, prefix: str = ""
) -> list[EpisodeGroup]:
    """Episodes by question, in the order in which the questions and the labels first come.

    Args:
        episodes: `(label, trajectory)` pairs.
        questions: By id.
        trees: Of the episodes' videos.
        prefix: Of all ids that they get in the page.

    Raises:
        KeyError: an episode whose question is not among `questions`.
        InputError: an episode whose tree is missing.
    """
    groups: dict[str, EpisodeGroup] = {}
    for label, trajectory in episodes:
        question = questions[trajectory.question_id]
        group = groups.setdefault(question.id, EpisodeGroup(question, []))
        anchor = f"{prefix}episode-{sum(len(each.episodes) for each in groups.values()) + 1}-"
        tree = trees[trajectory.video_id]
        group.episodes.append(episode_view(label, trajectory, tree, question.clue_intervals, anchor=anchor))
    return list(groups.values())


def turns_of(
    trajectory: Trajectory, most_calls: int | None = _MOST_CALLS, longest: int | None = _LONGEST
) -> list[Turn]:
    """The turns of a transcript. A call is a visit or a lookup if the environment recorded it, in order.

    Args:
        trajectory: Whose messages are read.
        most_calls: Calls of a turn to keep; None keeps all.
        longest: Characters of a text to keep; None keeps all.
    """
    turns: list[Turn] = []
    replies = [message for message in trajectory.messages if message.get("role") == "tool"]
    visits, lookups = list(enumerate(trajectory.visits, 1)), list(trajectory.lookups)
    opened = {visit.path: number for number, visit in reversed(visits)}
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
            lookup = ""
            if lookups and (lookups[0].tool, lookups[0].query) == (name, str(arguments.get(_LOOKED_UP.get(name, "")))):
                lookup = lookups.pop(0).tool
            results, rest = _results(reply, opened) if lookup else ([], reply)
            refused = number is None and not lookup
            calls.append(Call(_written(name, arguments), _clip(rest, longest), number, refused, lookup, results))
        reasoning = _clip(str(message.get("reasoning_content") or ""), longest)
        content = _clip(str(message.get("content") or ""), longest)
        kept = calls[:most_calls]
        turns.append(Turn(reasoning, content, kept, len(calls) - len(kept)))
    return turns


def _results(reply: str, opened: Mapping[SegmentPath, int]) -> tuple[list[Result], str]:
    """What a lookup's reply names, and its other lines."""
    results, rest = [], []
    for line in reply.splitlines():
        found = RESULT.fullmatch(line)
        if found is None:
            rest.append(line)
            continue
        path = parse_path(found["path"]) or ()
        kind = line[found.end("span") :].strip()
        results.append(Result(_clip(found["caption"]), path, found["span"], kind, opened.get(path)))
    return results, "\n".join(rest)


def _parts(call: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    return str(function.get("name")), arguments if isinstance(arguments, Mapping) else {}


def _written(name: str, arguments: Mapping[str, Any]) -> str:
    if name == SEARCH:
        within = parse_path(arguments.get("within"))
        return f"search “{_clip(str(arguments.get('query')))}”" + (f" in {format_path(within)}" if within else "")
    if name == JUMP:
        return f"jump to {_clip(str(arguments.get('time')))}"
    path = parse_path(arguments.get("segment"))
    where = format_path(path) if path is not None else _clip(repr(arguments.get("segment")))
    short = "open" if name == GET_CAPTION else name.replace("_", " ")
    query = arguments.get("query")
    return f"{short} {where}" + (f" “{_clip(str(query))}”" if query else "")


def _clip(text: str, longest: int | None = _LONGEST) -> str:
    text = text.strip()
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"
