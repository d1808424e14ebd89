"""The rule that navigates when no model is at hand: from the top-level captions down to the best leaf."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.policies import reader
from evaluation.policies.notes import Note, WordWeights, notes_read, statements_by_level, words_of
from navigation import GET_CAPTION, VIDEO_QA, Policy, Reply, SegmentPath, Task, assistant_message
from navigation.grid import clock, format_path

_OF_OPTIONS = 0.25
"""Weight of the options' words: the question says where to look, the options what may be there."""


@dataclass(frozen=True, kw_only=True)
class DescentPolicy(Policy):
    """Opens the parts of the segment that fits the question best, level by level, asks about the best leaf, answers.

    Fit is the share of the question's words (weighted by rarity among what was read) found in one caption. It knows
    words and no meaning: it shows the machinery, and it is a floor for models to beat. Unlike retrieval it needs no
    caption that it does not open.

    Args:
        seed: Settles ties of the answer.
        expansions: Segments whose parts are opened; default: one a level below the top, and one more to try another.
    """

    seed: int = 0
    expansions: int | None = None

    name = "descent"

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        notes = notes_read(task, messages)
        opened = {note.path for note in notes}
        calls = [call["function"] for message in messages for call in message.get("tool_calls") or ()]
        expanded = {tuple(call["arguments"]["segment"])[:-1] for call in calls if call["name"] == GET_CAPTION}
        scores = fits(task, notes)
        most = self.expansions if self.expansions is not None else task.grid.depth
        closed = [path for path in opened if not task.grid.is_leaf(path) and path not in expanded]
        leaves = [path for path in opened if task.grid.is_leaf(path)]
        if not leaves and closed:
            # Down to leaves first: what was opened last is the deepest.
            deepest = max(map(len, closed))
            closed = [path for path in closed if len(path) == deepest]
        if closed and len(expanded) < most:
            best = max(closed, key=lambda path: (scores[path], [-child for child in path]))
            if not leaves or scores[best] > max(scores[path] for path in leaves):
                parts = [(*best, child) for child in range(1, task.grid.width + 1)]
                why = f"{format_path(best)} fits the question best so far ({scores[best]:.2f}); I open its parts."
                return Reply(assistant_message(why, calls=[(GET_CAPTION, {"segment": list(path)}) for path in parts]))
        if leaves and not any(call["name"] == VIDEO_QA for call in calls):
            best = max(leaves, key=lambda path: (scores[path], [-child for child in path]))
            why = f"{format_path(best)} is the leaf that fits best; I look into it."
            query = {"segment": list(best), "query": task.question.question}
            return Reply(assistant_message(why, calls=[(VIDEO_QA, query)]))
        if task.question.options:
            return reader.answer(task, messages, self.seed)
        return quote(task, notes)


@dataclass(frozen=True)
class Quoting:
    """Lets a rule that only knows options answer a question without any: by the caption that fits best.

    Args:
        policy: Opens segments in its first turn and answers in its second.
    """

    policy: Any

    @property
    def name(self) -> str:
        return self.policy.name

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        if task.question.options or not any(message["role"] == "assistant" for message in messages):
            return await self.policy.reply(task, messages)
        return quote(task, notes_read(task, messages))


def fits(task: Task, notes: Sequence[Note]) -> dict[SegmentPath, float]:
    """How well each segment read so far fits the question and its options, in [0, 1]."""
    statements = [each for level in statements_by_level(notes).values() for each in level]
    weights = WordWeights(statements)
    # What no caption says cannot tell segments apart.
    said = frozenset(word for statement in statements for word in statement.words)
    named = words_of(task.question.question) & said
    offered = words_of(" ".join(task.question.options)) & said
    scores: dict[SegmentPath, float] = {}
    for note in notes:
        words = words_of(note.text)
        score = (1 - _OF_OPTIONS) * _share(weights, named, words) + _OF_OPTIONS * _share(weights, offered, words)
        scores[note.path] = max(score, scores.get(note.path, 0.0))
    return scores


def _share(weights: WordWeights, wanted: frozenset[str], words: frozenset[str]) -> float:
    return weights.share(wanted, words) if wanted else 0.0


def quote(task: Task, notes: Sequence[Note]) -> Reply:
    """The final turn of a question without options: what was read that fits best, with its time."""
    if not notes:
        return Reply(assistant_message("I read nothing.", "<answer>I do not know.</answer>"))
    scores = fits(task, notes)
    best = max(notes, key=lambda note: (scores[note.path], len(note.path), -note.start))
    why = f"{format_path(best.path)} fits the question best ({scores[best.path]:.2f}); I quote it."
    text = " ".join(best.text.split())[:600]
    return Reply(assistant_message(why, f"<answer>{clock(best.start)}-{clock(best.end)} {text}</answer>"))
