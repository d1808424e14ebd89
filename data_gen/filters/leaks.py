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

from navigation import SegmentPath
from navigation.tools import parse_path

# Words in which a teacher gives a hint away. Found by reading, so never complete: docs/traces.md tells how much is
# caught. Only hinted trajectories are searched, and one that is dropped without need costs little, so a pattern may be
# somewhat too wide.
#
# Teachers, instructors and assistants appear in videos; users, systems and feedback do not.
_TELLER = r"(?:user|system|prompt|feedback|environment|evaluator|examiner)"
_SAYS = (
    r"(?:says?|said|tells?|told|wants?|asked|asks|suggests?|suggested|points?|pointed|confirms?|confirmed|indicates?|"
    r"indicated|mentions?|mentioned|directs?|directed|recommends?|recommended|gave|provided|specified|insists?)"
)
_HINT = (
    # A caption may hint at something, and a scene may hold a hint of red: the noun needs one who gives it.
    r"\b(?:the|your|this|that|these|another|new|latest|last|previous|given|provided|following|per)\s+"
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
    r"\byou\s+(?:\w+\s+)?(?:named|want(?:ed)?|" + _SAYS[3:] + r"\b",
    r"\b(?:thanks|thank\s+you)\s+(?:for|to)\b",
    r"\b(?:user|system|evaluator|examiner)['’]s\s+(?:\w+\s+)?(?:hint|message|note|remark|reply|answer|request|correction|words)\b",
    r"\b(?:last|previous|latest|system|user)\s+(?:message|instruction|remark|reminder)s?\b",
    r"\b(?:wants?|wanted|asks?|asked|directs?|directed|advises?|advised|reminds?|reminded|urges?|urged|instructs?|instructed)\s+"
    r"(?:me|us)\b",
    r"\b(?:narrowed|singled|pointed|named|given|picked|marked|handed|spelled)\s+"
    r"(?:\w+\s+){0,2}(?:\[[\d, ]+\]\s+)?(?:for|to)\s+(?:me|us)\b",
    r"\b(?:as|what)\s+(?:i|we)\s+(?:have\s+|had\s+|was\s+|were\s+|just\s+|now\s+)*(?:learned|learnt|heard|been\s+told|told)\b",
    r"\b(?:i|we)\s+(?:am|are|was|were)\s+(?:told|instructed|corrected|informed)\b",
    r"\b(?:verification|double-check|check|confirmation)\s+(?:was|is|has\s+been)\s+(?:demanded|requested|asked|required|wanted)\b",
    r"\bhints\s+(?:keep|get|grow|become|are|were|say|lead|point|name)\b",
    r"\b(?:suggested|recommended|specified|indicated|designated|provided)\s+(?:segment|clip|leaf|location)s?\b",
    r"\b(?:per|under|after|following)\s+(?:the|your|this|that)\s+(?:\w+\s+)?(?:instruction|request|correction|reminder|message|"
    r"remark)\b",
    r"\byour\s+(?:\w+\s+)?(?:message|note|remark|reply|reminder|comment|correction|instructions?|request)\b",
    r"\bthey\s+(?:said|told|want|asked|pointed|named|gave)\s+(?:me|us|to|that)\b",
    r"\b(?:i|we)\s+(?:\w+\s+)?(?:got|received|have|had|use|used|follow|followed)\s+(?:a|an|another|one|the)\s+(?:\w+\s+)?"
    r"(?:hint|tip|pointer)\b|\bthe\s+pointer\b",
    r"\b(?:note|message|prompt|correction|reply|response|instruction|reminder)s?\s+(?:\w+\s+)?"
    r"(?:tells?|told|directs?|directed|points?|pointed|asks?|asked|sends?|sent)\s+(?:me|us)\b",
    r"\b(?:says?|said|told|asks?|asked|wants?|wanted)\s+(?:me\s+|us\s+)?to\s+(?:verify|use\s+video_qa|"
    r"(?:look\s+at|open|check|inspect)\s+(?:the\s+)?(?:segment|clip|leaf|\[))",
    r"\bit\s+(?:was|has\s+been)\s+(?:said|stated|given|pointed\s+out|made\s+clear)\s+that\b|\bit\s+is\s+given\s+that\b",
    r"\bas\s+(?:suggested|indicated)\b(?!\s+(?:by|in|from|above|earlier|before))",
    r"\b(?:location|place|position|whereabouts|segment|interval)\s+(?:of\s+(?:the\s+)?\w+\s+)?(?:was|is|has\s+been)\s+"
    r"(?:already\s+)?(?:given|provided|revealed|disclosed|named)\b",
    r"\b(?:i['’]m|i\s+am|we['’]re|we\s+are)\s+(?:supposed|expected|meant|required)\s+to\s+"
    r"(?:look|open|verify|check|go|inspect|use)\b",
    r"(?:^|[.;!?]\s+)(?:being|having\s+been)\s+(?:told|informed|advised|directed|corrected|pointed)\b",
    r"\b(?:new|additional|extra)\s+information\s+(?:that|given|provided|i)\b",
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
    r"\bturned\s+out\s+(?:to\s+be\s+)?(?:wrong|incorrect|not\s+(?:right|correct))\b",
    r"(?:[.!?;:]\s+|\b(?:i|we|let\s+me|let['’]s|i['’]ll|must|should)\s+(?:\w+\s+){0,2})(?:try|tried|trying)\s+again\b",
    r"\b(?:wait|no|okay|ok|hmm)[,.]?\s+(?:so\s+)?(?:that|it|this)\s+(?:was|is)\s+(?:wrong|incorrect|not\s+(?:right|correct))\b",
    r"\b(?:[Kk]nowing|[Tt]old|[Ii]nformation|[Rr]eply\s+says)\s+that\s+(?:option\s+|answer\s+)?\(?[A-H]\)?\s+"
    r"(?:is|was)\s+(?:wrong|incorrect|not\s+(?:right|correct|the\s+answer))",
    r"\bafter\s+(?:(?:my|our)\s+(?:\w+\s+)?(?:reply|answer|response|guess|attempt)|answering|guessing|(?:getting|being)\s+"
    r"(?:it\s+)?(?:wrong|corrected|refused))\b",
    r"\b(?:[Mm]y|[Oo]ur)\s+(?:answer|choice|guess|response|pick)\s+(?:(?:of\s+)?\(?[A-H]\)?\s+|of\s+\w+\s+)?"
    r"(?:got|was|were|has|had|did|turned|proved|seems|failed|missed)\b",
    r"\b(?:I|[Ww]e)(?:['’]ve)?\s+(?:\w+ly\s+|have\s+|had\s+|already\s+|once\s+|first\s+)*"
    r"(?:answered|guessed|responded|replied|submitted)\b",
    r"\bnot\s+(?:to\s+)?(?:answer|pick|choose|say|repeat)\s+\(?[A-H]?\)?\s*(?:again|a\s+second\s+time|once\s+more|twice)\b",
    r"\b(?:i|we)\s+made\s+(?:a|an|the)\s+(?:mistake|error)\b|\b(?:my|our)\s+(?:mistake|error)\b",
    r"\b(?:after|since|because|as)\s+\(?[A-H]\)?\s+(?:failed|did\s+not\s+work|is\s+out|was\s+refused)\b",
    r"\bmarked\s+(?:as\s+)?(?:wrong|incorrect)\b|\banswered\s+(?:wrongly|incorrectly)\b",
    r"\b(?:reconsider|revise|correct|change)\s+my\s+(?:\w+\s+)?answer\b",
)
PATTERNS: list[tuple[str, re.Pattern[str]]] = [("hint", re.compile(pattern, re.IGNORECASE)) for pattern in _HINT]
# The letters of options are upper case: "a was wrong" is no option.
PATTERNS += [
    ("retracted", re.compile(f"(?i:{pattern})" if "[A-H]" not in pattern else pattern)) for pattern in _RETRACTED
]

_ADDRESS = re.compile(r"[\[(]\s*(\d{1,4}(?:\s*,\s*\d{1,4}){1,31})\s*,?\s*[\])]", re.ASCII)
LONGEST = 20_000
"""Characters of a turn that are looked at."""


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
    it is part of the same segment as one that was, or next to an opened one in time, or if it was shown itself.
    Reasoning beyond 20,000 characters of a turn is not looked at.
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
    # A search names a segment whose parent was never shown: the parts beside it are in sight too.
    if any(len(other) == len(path) and other[:-1] == path[:-1] for other in opened | shown):
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
