"""Finds reasoning that could only come from a hint.

A teacher that was hinted should reason as if it had found the place by itself. Three things give it away:

- `hint`: it speaks of a hint, of being told, of feedback or of the truth;
- `retracted`: it speaks of an earlier answer that was wrong, which no saved message holds;
- `unseen`: it names or opens a segment that nothing shown so far leads to.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_gen.filters.leak_patterns import PATTERNS
from navigation import SegmentPath
from navigation.tools import parse_path

_ADDRESS = re.compile(r"[\[(]\s*(\d{1,4}(?:\s*,\s*\d{1,4}){1,31})\s*,?\s*[\])]", re.ASCII)
LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Leak:
    """One place where reasoning gives a hint away.

    Args:
        kind: `hint`, `retracted` or `unseen`.
        turn: 0-based assistant turn.
        quote: The words, or the segment.
    """

    kind: str
    turn: int
    quote: str


def find_leaks(messages: Sequence[Mapping[str, Any]]) -> list[Leak]:
    """Leaks in a saved transcript, in order; at most one of a kind each turn.

    A segment counts as known if it is on the first two levels, if its parent was opened or named by what was shown, if
    it is next to an opened segment of its level in time, or if it was shown itself. Reasoning beyond 20,000
    characters of a turn is not looked at.
    """
    found: list[Leak] = []
    opened: set[SegmentPath] = set()
    shown: set[SegmentPath] = set()
    turn = -1
    for message in messages:
        content = message.get("content") or ""
        if message["role"] != "assistant":
            shown.update(_addresses(content[:LONGEST]))
            continue
        turn += 1
        reasoning = (message.get("reasoning_content") or "")[:LONGEST]
        kinds: dict[str, str] = {}
        for kind, pattern in PATTERNS:
            if kind not in kinds and (match := pattern.search(reasoning)):
                kinds[kind] = match.group(0).strip()
        calls = [path for call in message.get("tool_calls") or () if (path := _called(call)) is not None]
        for path in [*_addresses(reasoning), *calls]:
            if "unseen" not in kinds and not _known(path, opened, shown):
                kinds["unseen"] = str(list(path))
        found.extend(Leak(kind, turn, quote) for kind, quote in kinds.items())
        opened.update(calls)
    return found


def _known(path: SegmentPath, opened: set[SegmentPath], shown: set[SegmentPath]) -> bool:
    # The prompt shows the top level, so its parts are known too.
    if len(path) <= 2 or path in shown or path in opened or path[:-1] in opened or path[:-1] in shown:
        return True
    # Going on to the next or the last segment in time crosses into a parent that was never opened.
    return any(len(other) == len(path) and _adjoin(other, path) for other in opened)


def _adjoin(one: SegmentPath, other: SegmentPath) -> bool:
    """Whether two addresses of one level can be neighbours in time, for whatever width of the tree."""
    first, second = sorted((one, other))
    place = next(index for index, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    if second[place] != first[place] + 1:
        return False
    # 1 after the last: the width is not known here, so any digit may be the last one of its parent.
    return all(digit == 1 for digit in second[place + 1 :]) and len(set(first[place + 1 :])) <= 1


def _addresses(text: str) -> list[SegmentPath]:
    return [tuple(int(number) for number in match.group(1).split(",")) for match in _ADDRESS.finditer(text)]


def _called(call: Mapping[str, Any]) -> SegmentPath | None:
    arguments = (call.get("function") or {}).get("arguments")
    return parse_path(arguments.get("segment")) if isinstance(arguments, Mapping) else None
