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

from navigation import Path
from navigation.tools import parse_path

# Teachers, instructors and assistants appear in videos; users, systems and feedback do not.
_TELLER = r"(?:user|system|prompt|feedback|environment|evaluator|examiner)"
_SAYS = (
    r"(?:says?|said|tells?|told|wants?|asked|asks|suggests?|suggested|points?|pointed|confirms?|confirmed|indicates?|"
    r"indicated|mentions?|mentioned|directed|recommends?|recommended|gave|provided|specified|insists?)"
)
_HINT = (
    # A caption may hint at something, and a scene may hold a hint of red: the noun needs one who gives it.
    r"\b(?:the|your|this|that|these|another|new|latest|last|previous|given|provided|following|per|a|one)\s+"
    r"(?:\w+\s+)?hints?\b(?!\s+(?:of|at|that)\b)",
    r"\bhints?\s*[:,]|\bhinted\s+(?:segment|clip|interval|location|region|place|part|leaf)s?\b",
    r"\bhint\s+(?:says?|said|tells?|told|points?|mentions?|names?|indicates?|suggests?|directs?|is|was)\b",
    r"\b(?:i\s+(?:was|am|have\s+been)|(?:i|we)['’]ve\s+been|i['’]m|we\s+(?:were|are|have\s+been))\s+(?:just\s+|now\s+)?"
    r"(?:told|advised|instructed|informed|given|directed|pointed|guided|asked\s+to\s+(?:look|verify|check))\b",
    r"\bas\s+(?:(?:i|we)\s+(?:was|were)\s+)?(?:told|advised|instructed|directed|recommended|requested|guided)\b",
    r"\bas\s+(?:suggested|indicated|mentioned|stated|noted|said)\s+by\s+(?:the\s+|my\s+)?" + _TELLER + r"\b",
    r"\b(?:the|your|this|that)\s+(?:\w+\s+)?(?:guidance|feedback|advice|suggestion|pointer|tip|clarification)\b"
    r"(?!\s+(?:of|on|to\s+the))",
    r"\bthe\s+" + _TELLER + r"\s+(?:\w+\s+)?" + _SAYS + r"\b",
    r"\b(?:ground[\s-]truth|answer\s+key|clue\s+(?:segment|interval|region)s?)\b",
    r"\b(?:relevant|target|correct|right)\s+segments?\s+(?:is|are|was|were)\s+(?:given|specified|provided|named)\b",
    r"\byou\s+(?:said|told|pointed|suggested|mentioned|want(?:ed)?|asked|indicated|gave|named|recommended|directed)\b",
    r"\b(?:suggested|recommended|specified|indicated|designated|provided)\s+(?:segment|clip|leaf|location)s?\b",
    r"\b(?:per|under|after|following)\s+(?:the|your|this|that)\s+(?:\w+\s+)?(?:instruction|request|correction|reminder|message|"
    r"remark)\b",
    r"\byour\s+(?:\w+\s+)?(?:message|note|remark|reply|reminder|comment|correction|instructions?|request)\b",
    r"\bthey\s+(?:said|told|want|asked|pointed|named|gave)\s+(?:me|us|to|that)\b",
    r"\bas\s+(?:asked|required|ordered)\b|\b(?:i|we)\s+(?:already|now)\s+know\s+(?:where|which\s+segment|that\s+the\s+"
    r"(?:answer|clue))\b",
)
_RETRACTED = (
    r"\b(?:(?:my|our)\s+(?:last|first|second|third)|(?:my|the|our|that)\s+(?:previous|earlier|initial|former|prior|original))\s+"
    r"(?:answer|choice|guess|attempt|response|conclusion|pick|selection)s?\b",
    r"\b(?:my|that)\s+(?:answer|choice|guess|response|pick)\s+(?:was|is|turned\s+out|proved|has\s+been)\s+"
    r"(?:to\s+be\s+)?(?:wrong|incorrect|not\s+(?:right|correct)|mistaken|rejected|refused)",
    r"\b(?:[Oo]ption\s+|[Aa]nswer\s+)?\(?[A-H]\)?\s+(?:was|has\s+been|turned\s+out\s+to\s+be|proved)\s+(?:already\s+)?"
    r"(?:wrong|incorrect|rejected|not\s+(?:the\s+)?(?:right|correct))\b",
    r"\b(?:i|we)\s+(?:was|were)\s+(?:wrong|incorrect|mistaken)\b",
    r"\b(?:I|We|we)\s+(?:answered|guessed|chose|picked|selected|said)\s+(?:wrong|incorrect|\(?[A-H]\)?\b)",
    r"\bturned\s+out\s+(?:to\s+be\s+)?(?:wrong|incorrect|not\s+(?:right|correct))\b|\b(?:try|tried|trying)\s+again\b",
    r"\b(?:after|since|because|as)\s+\(?[A-H]\)?\s+(?:failed|did\s+not\s+work|is\s+out|was\s+refused)\b",
    r"\bmarked\s+(?:as\s+)?(?:wrong|incorrect)\b|\banswered\s+(?:wrongly|incorrectly)\b",
    r"\b(?:reconsider|revise|correct|change)\s+my\s+(?:\w+\s+)?answer\b",
)
_PATTERNS = [("hint", re.compile(pattern, re.IGNORECASE)) for pattern in _HINT]
# The letters of options are upper case: "a was wrong" is no option.
_PATTERNS += [
    ("retracted", re.compile(f"(?i:{pattern})" if "[A-H]" not in pattern else pattern)) for pattern in _RETRACTED
]
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
    opened: set[Path] = set()
    shown: set[Path] = set()
    turn = -1
    for message in messages:
        content = message.get("content") or ""
        if message["role"] != "assistant":
            shown.update(_addresses(content[:LONGEST]))
            continue
        turn += 1
        reasoning = (message.get("reasoning_content") or "")[:LONGEST]
        kinds: dict[str, str] = {}
        for kind, pattern in _PATTERNS:
            if kind not in kinds and (match := pattern.search(reasoning)):
                kinds[kind] = match.group(0).strip()
        calls = [path for call in message.get("tool_calls") or () if (path := _called(call)) is not None]
        for path in [*_addresses(reasoning), *calls]:
            if "unseen" not in kinds and not _known(path, opened, shown):
                kinds["unseen"] = str(list(path))
        found.extend(Leak(kind, turn, quote) for kind, quote in kinds.items())
        opened.update(calls)
    return found


def _known(path: Path, opened: set[Path], shown: set[Path]) -> bool:
    # The prompt shows the top level, so its parts are known too.
    if len(path) <= 2 or path in shown or path in opened or path[:-1] in opened or path[:-1] in shown:
        return True
    # Going on to the next or the last segment in time crosses into a parent that was never opened.
    return any(len(other) == len(path) and _adjoin(other, path) for other in opened)


def _adjoin(one: Path, other: Path) -> bool:
    """Whether two addresses of one level can be neighbours in time, for whatever width of the tree."""
    first, second = sorted((one, other))
    place = next(index for index, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    if second[place] != first[place] + 1:
        return False
    # 1 after the last: the width is not known here, so any digit may be the last one of its parent.
    return all(digit == 1 for digit in second[place + 1 :]) and len(set(first[place + 1 :])) <= 1


def _addresses(text: str) -> list[Path]:
    return [tuple(int(number) for number in match.group(1).split(",")) for match in _ADDRESS.finditer(text)]


def _called(call: Mapping[str, Any]) -> Path | None:
    arguments = (call.get("function") or {}).get("arguments")
    return parse_path(arguments.get("segment")) if isinstance(arguments, Mapping) else None
