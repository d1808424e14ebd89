"""Searching clips, reading the best, searching again: Deep Video Discovery.

Deep Video Discovery: Agentic Search with Tool Use for Long-form Video Understanding (arXiv 2505.18079). As read: a
video is cut into clips that are captioned and indexed; an agent observes, reasons and acts with three tools (browse the
whole, search clips by a query, inspect the frames of a clip) until it can answer.

Simplified: clips are segments of the tree, browsing is the top level that every prompt shows, inspecting is reading a
caption; the agent's reasoning is a fixed list of queries (the question, then with its options, then each option) and
the verdict's confidence, which says when to stop. Unlike `retrieval` it pays for every query, and opens a few results
at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_gen.transcript import QUOTED
from evaluation.policies.judge import JudgedPolicy
from evaluation.policies.notes import notes_read
from navigation import GET_CAPTION, SEARCH, Reply, SegmentPath, Task, assistant_message
from navigation.search import read_results
from navigation.tools import parse_path


@dataclass(frozen=True, slots=True)
class Searched:
    """What a transcript has looked up and opened so far, in order."""

    queries: list[tuple[str, SegmentPath]]
    results: list[list[SegmentPath]]
    """Of each query, best first."""
    opened: list[SegmentPath]

    @classmethod
    def of(cls, messages: Sequence[dict[str, Any]]) -> "Searched":
        queries, results, opened = [], [], []
        calls: list[dict[str, Any]] = []
        for message in messages:
            if message["role"] == "assistant":
                calls = [call["function"] for call in message.get("tool_calls") or ()]
            elif message["role"] == "tool" and calls:
                call = calls.pop(0)
                arguments = call["arguments"]
                if call["name"] == SEARCH:
                    queries.append((arguments["query"], tuple(arguments.get("within") or ())))
                    results.append(read_results(message["content"]))
                elif (path := parse_path(arguments.get("segment"))) is not None:
                    opened.append(path)
        return cls(queries, results, opened)

    def waiting(self) -> list[SegmentPath]:
        """Results that were not opened, those of the latest search first."""
        found = dict.fromkeys(path for results in reversed(self.results) for path in results)
        return [path for path in found if path not in self.opened]


@dataclass(frozen=True, kw_only=True)
class SearchingPolicy(JudgedPolicy):
    """What the policies that search share.

    Args:
        visits: Most segments to open.
        sure: The confidence at which it stops looking, 0 to 1.
        searches: Most searches.
    """

    visits: int = 8
    sure: float = 0.4
    searches: int = 3

    @property
    def needed_tools(self) -> tuple[str, ...]:
        return (SEARCH,)

    @property
    def settings(self) -> dict[str, Any]:
        own = {"seed": self.seed, "visits": self.visits, "sure": self.sure, "searches": self.searches}
        return {**own, **self.judge.settings}

    async def step(self, task: Task, seen: Searched) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        """Why, and the calls to make next; none to answer."""
        raise NotImplementedError

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        seen, notes = Searched.of(messages), notes_read(task, messages)
        verdict = await self.judge.verdict(task, notes) if seen.opened else None
        why = ""
        calls: list[tuple[str, dict[str, Any]]] = []
        if (verdict is None or verdict.confidence < self.sure) and len(seen.opened) < self.visits:
            why, calls = await self.step(task, seen)
        if calls:
            return Reply(assistant_message(why, calls=calls), *self.judge.spent(task))
        verdict = verdict or await self.judge.verdict(task, notes)
        return Reply(verdict.message(), *self.judge.spent(task))


def queries_of(task: Task) -> list[str]:
    """What a question can be looked up by: what it quotes or else its text, with its options, each option."""
    question = task.question
    quoted = " ".join(QUOTED.findall(question.question))
    return [
        text[:900]
        for text in (quoted or question.question, " ".join((question.question, *question.options)), *question.options)
    ]


def opening(paths: Sequence[SegmentPath]) -> list[tuple[str, dict[str, Any]]]:
    return [(GET_CAPTION, {"segment": list(path)}) for path in paths]


@dataclass(frozen=True, kw_only=True)
class SearchReadPolicy(SearchingPolicy):
    """Searches, opens the `beam` best results that are left, and searches for other words when none is.

    Args:
        beam: Results opened in one turn.
    """

    beam: int = 2

    name = "search_read"

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "beam": self.beam}

    async def step(self, task: Task, seen: Searched) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        waiting = seen.waiting()
        if waiting:
            return "I read the best results.", opening(waiting[: min(self.beam, self.visits - len(seen.opened))])
        asked = {query for query, _ in seen.queries}
        left = [query for query in queries_of(task) if query not in asked]
        if not left or len(seen.queries) >= self.searches:
            return "", []
        return "I look these words up.", [(SEARCH, {"query": left[0]})]
