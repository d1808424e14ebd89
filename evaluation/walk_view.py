"""A trajectory as the report tells it: turn by turn, what was thought, called and replied, and what it was worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.walk_figure import WalkFigure, walk_figure
from navigation import GET_CAPTION, CaptionTree, Question, Trajectory
from navigation.grid import format_path
from navigation.tools import parse_path

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
class WalkView:
    """One walk, ready for the template."""

    label: str
    trajectory: Trajectory
    figure: WalkFigure
    turns: list[Turn]
    reward: list[tuple[str, float | None]]


@dataclass(frozen=True, slots=True)
class WalkGroup:
    """The walks of several policies on one question."""

    question: Question
    walks: list[WalkView]


def group_walks(
    walks: Sequence[tuple[str, Trajectory]], questions: Mapping[str, Question], trees: Mapping[str, CaptionTree]
) -> list[WalkGroup]:
    """Walks by question, in the order in which the questions and the labels first come."""
    groups: dict[str, WalkGroup] = {}
    for label, trajectory in walks:
        question = questions[trajectory.question_id]
        group = groups.setdefault(question.id, WalkGroup(question, []))
        tree = trees[trajectory.video_id]
        figure = walk_figure(tree, trajectory, question.clue_intervals)
        reward = [(name.replace("_", " "), value) for name, value in trajectory.reward.items()]
        group.walks.append(WalkView(label, trajectory, figure, turns_of(trajectory), reward))
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
