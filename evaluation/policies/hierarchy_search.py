"""Searching from coarse to fine: which part of the video first, then inside it, as agents over a hierarchy do.

Hierarchical Long Video Understanding with Audiovisual Entity Cohesion and Agentic Search (HAVEN, arXiv 2601.13719). As
its abstract tells: content is kept in a hierarchy from a global summary over scenes and segments to entities, and an
agent retrieves and reasons across these layers. VideoEvolve is reported to search a hierarchy alike; its text was not
at hand.

Simplified: the layers are the levels of the caption tree and there are no entities. A search over the whole names a
part; that part's caption is read; a search inside it names its leaves, which are read; an unsure verdict leads to the
next part.
"""

from dataclasses import dataclass
from typing import Any

from evaluation.policies.search_read import Searched, SearchingPolicy, opening, queries_of
from navigation import SEARCH, SegmentPath, Task


@dataclass(frozen=True, kw_only=True)
class HierarchySearchPolicy(SearchingPolicy):
    """Opens a part that the search over the whole names, searches in it, reads what that names, goes on to the next.

    Args:
        leaves: Results opened of each part.
    """

    searches: int = 4
    leaves: int = 3

    name = "hierarchy_search"

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "leaves": self.leaves}

    async def step(self, task: Task, seen: Searched) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        query = queries_of(task)[0]
        if not seen.queries:
            return "First, which part of the video this is about.", [(SEARCH, {"query": query})]
        parts = self._parts(task, seen.results[0])
        inside = dict(zip((within for _, within in seen.queries[1:]), seen.results[1:], strict=True))
        for part in parts:
            if part not in inside:
                if len(seen.queries) >= self.searches:
                    break
                calls = [] if part in seen.opened else opening([part])
                return "This part may hold it.", [*calls, (SEARCH, {"query": query, "within": list(part)})]
            named = [path for path in inside[part] if path != part][: self.leaves]
            if left := [path for path in named if path not in seen.opened]:
                return "I read what was found in it.", opening(left[: self.visits - len(seen.opened)])
        return "", []

    def _parts(self, task: Task, found: list[SegmentPath]) -> list[SegmentPath]:
        """Segments one level above the leaves that hold the results, best first."""
        level = max(1, task.grid.depth - 1)
        return list(dict.fromkeys(path[:level] for path in found if len(path) >= level)) or found[:1]
