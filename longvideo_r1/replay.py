"""Trajectories of the released generator's rows, played again.

A row of `sft_data_generation.py` is an RL row with `pred`, `output` (what the teacher wrote, a text a turn) and
`video_qa_results`. What `get_caption` replied is not in it: it comes from the caption file that the row was made with.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from longvideo_r1.turns import Turn, read_turn
from navigation import (
    CaptionTree,
    Limits,
    NavigationEnvironment,
    Policy,
    Question,
    Reply,
    SegmentPath,
    SkippedRow,
    Task,
    Trajectory,
    TreeStore,
    answer_message,
    assistant_message,
    run,
)

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def is_generated(row: Mapping[str, Any]) -> bool:
    """Whether a row holds a trajectory beside its question."""
    return "output" in row and "pred" in row


def replay(row: Mapping[str, Any], question: Question, trees: TreeStore | None) -> Trajectory | SkippedRow:
    """The trajectory of a row in the form of our own, or why there is none.

    Args:
        row: Of the generator.
        question: Made of the same row.
        trees: Made of the caption files; None where they are not given.
    """

    def skipped(reason: str, detail: str = "") -> SkippedRow:
        return SkippedRow(f"{question.id}#0", reason, detail, dict(row))

    written = row["output"]
    if not isinstance(written, list):
        return skipped("generation failed", str(written))
    if not written or not all(isinstance(text, str) for text in written):
        return skipped("no trajectory", "output is no list of texts")
    if trees is None or question.video_id not in trees:
        return skipped("no caption file", "the row lacks what get_caption replied: give the folder of caption files")
    turns = [read_turn(text, len(question.options)) for text in written]
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, Turn):
            return skipped("assistant turn", f"turn {number}: {turn.reason}")
    environment = NavigationEnvironment(trees, _Results(row.get("video_qa_results")))
    try:
        played = asyncio.run(run(_Replay(turns), environment, question, Limits(len(turns))))  # type: ignore[arg-type]
    except _NoResult:
        return skipped("video_qa result is missing", f"{len(row.get('video_qa_results') or ())} results")
    if environment.refusals:
        return skipped("call refused", environment.refusals[0])
    played.teacher, played.seconds = {"model": "LongVideo-R1 generator"}, 0.0
    return played


class _Replay(Policy):
    name = "released"

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        turn = self._turns[sum(message["role"] == "assistant" for message in messages)]
        if turn.letter:
            return Reply(answer_message(turn.reasoning, turn.letter))
        return Reply(assistant_message(turn.reasoning, calls=[(turn.tool, dict(turn.arguments or {}))]))


class _NoResult(Exception):
    """More calls of `video_qa` than recorded replies."""


class _Results:
    """Gives `video_qa` the recorded replies, one after another."""

    def __init__(self, results: Any) -> None:
        self._results = [str(each) for each in results] if isinstance(results, list) else []

    def answer(self, tree: CaptionTree, path: SegmentPath, query: str) -> str:
        if not self._results:
            raise _NoResult
        said = self._results.pop(0)
        found = _ANSWER.search(said)
        return found.group(1).strip() if found else said
