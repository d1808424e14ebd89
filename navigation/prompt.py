"""What a policy is told before its first turn: one wording for teacher, training, evaluation and serving."""

from typing import Any

from navigation.caption_tree import CaptionTree
from navigation.grid import SegmentPath, TimeGrid, clock, format_path
from navigation.markup import without_markup
from navigation.question import LETTERS, PublicQuestion, Question

SYSTEM = (
    "You answer a multiple-choice question about a video by walking its caption tree. Every segment splits into equal "
    "parts, numbered from 1: [2] is on the top level, [2, 5] is its fifth part. get_caption opens one segment; "
    "video_qa asks about a segment of the last level whose caption you have read. Open as few segments as you can. "
    "Think before each step, and stop as soon as you know: end with <answer>LETTER</answer>."
)


def initial_messages(question: Question | PublicQuestion) -> list[dict[str, Any]]:
    """System message and question. The environment's `reset` text is appended to the last one."""
    options = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, question.options, strict=False))
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": without_markup(f"{question.question}\n{options}\n")},
    ]


def describe(tree: CaptionTree) -> str:
    """The text that `reset` returns: the tree's shape and the captions of its top level."""
    grid = tree.grid
    shape = f"Its tree has {grid.depth} levels; segments split into {grid.width}."
    lines = (caption_line(grid, path, tree.captions.get(path, "")) for path in tree.top_level)
    return f"\nThe video lasts {clock(grid.duration)}. {shape}\n" + "\n".join(lines)


def caption_line(grid: TimeGrid, path: SegmentPath, caption: str) -> str:
    """One segment as policies read it: `3:12-4:16 [2, 5] caption`."""
    start, end = grid.interval(path)
    return without_markup(f"{clock(start)}-{clock(end)} {format_path(path)} {caption}")
