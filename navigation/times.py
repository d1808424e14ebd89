"""Times and spans as people and models write them: clocks, units, dashes, lists. What is not understood is counted."""

import re

Span = tuple[float, float]

LONGEST = 4_000
"""Characters of a text that is read; a longer one is not understood."""

_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_CLOCK = r"(?:\d{1,3}:)?\d{1,3}:\d{1,2}(?:\.\d{1,9})?"
_WORDS = {
    "hours": r"\s?(?:hours?|hrs?|h|小时|时)",
    "minutes": r"\s?(?:minutes?|mins?|m|分钟?)",
    "seconds": r"\s?(?:seconds?|secs?|s|秒)",
}
_SECONDS = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
_UNITS = r"\s?".join(rf"(?:(?P<{name}>{_NUMBER}){words})?" for name, words in _WORDS.items())
_ANY_WORD = "|".join(_WORDS.values())
_AS_CLOCK = re.compile(rf"(?:(\d{{1,3}}):)?(\d{{1,3}}):(\d{{1,2}}(?:\.\d{{1,9}})?)(?:{_ANY_WORD})?", re.ASCII)
_AS_UNITS = re.compile(_UNITS, re.ASCII)
_AS_SECONDS = re.compile(_NUMBER, re.ASCII)

# Signs that mean the same. Quotes and brackets say nothing once pairs in brackets are spans.
_SAME = str.maketrans("‐‑‒–—―−－~～〜：，；、［］【】（）", "-----------:,;,[][]()", "\"'“”‘’`*")
_ARROW = re.compile(r"\s*(?:-{1,2}>|-{2,3}|→|\.{2,3}|…)\s*|\s+(?:to|until|till|through)\s+")
_BETWEEN = re.compile(r"\bbetween\b([^,;\n]{1,40}?)\band\b")
_MILLISECONDS = re.compile(r"(:\d{2}),(\d{3})(?!\d)")
_TIME = r"[^\s,;\[\](){}-][^,;\[\](){}\n-]{0,30}"
_PAIR = re.compile(rf"[\[(]\s*({_TIME}),\s*({_TIME})[\])]")
_KEYS = re.compile(
    rf"(?:start|begin)(?:_?time|_?sec(?:ond)?s?)?\s*[:=]\s*({_TIME}),\s*end(?:_?time|_?sec(?:ond)?s?)?\s*[:=]\s*({_TIME})"
)
_MARK = re.compile(r"<\s*time\s+([^<>]{1,30}?)(?:\s+video\s+\d{1,3})?\s*>", re.IGNORECASE)
"""`<TIME 00:00:03.720 video 1>`, as HD-EPIC writes a moment."""
_CLOCK_SPAN = re.compile(rf"(?<![\d:.]){_CLOCK}(?![\d:])(?:\s?-\s?{_CLOCK}(?![\d:]))?", re.ASCII)
_BRACKETS = re.compile(r"[\[\](){}]")
_SPLIT = re.compile(r"[,;|&\n]|\band\b")
_LEAD = re.compile(r"^(?:(?:from|at|around|about|approximately|approx\.?|roughly|time|t)\b\s*[:=]?\s*)+")
_TWO = re.compile(rf"({_TIME}?)\s*-\s*({_TIME})")


def read_time(text: str) -> float | None:
    """Seconds of `75`, `75.5`, `75s`, `1:15`, `1:02:03.5`, `1:02:03,500`, `75:12`, `1m15s`, `5 minutes` or
    `<TIME 00:01:15.000 video 1>`; None for anything else.

    A clock's minutes may pass 59 where it has no hours; its seconds never do: `1:75:00` and `5:75` are no times.
    """
    text = _MILLISECONDS.sub(r"\1.\2", _MARK.sub(r"\1", text.strip()))
    if _AS_SECONDS.fullmatch(text):
        return float(text)
    if clock := _AS_CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.group(1), int(clock.group(2)), float(clock.group(3))
        if seconds >= 60 or (hours is not None and minutes >= 60):
            return None
        return 3600.0 * int(hours or 0) + 60.0 * minutes + seconds
    units = _units(text)
    return sum(value * _SECONDS[name] for name, value in units.items()) if units else None


def _units(text: str) -> dict[str, float]:
    """`7m10s` by unit; empty for what is no time with units."""
    found = _AS_UNITS.fullmatch(text)
    return {name: float(value) for name, value in found.groupdict().items() if value is not None} if found else {}


def read_spans(text: str, clocks_only: bool = False, moments: bool = False) -> tuple[list[Span], int]:
    """The spans that a text lists, as written, and how many of its pieces are none.

    A span is two times with a dash of any kind, an arrow or `to` between, or a pair in brackets: `300-430`,
    `5:00–7:10`, `300s to 430s`, `5-7 min`, `[[300, 430], [500, 510]]`. Commas, semicolons, `and` and line ends stand
    between spans. A backwards span, an impossible clock and a piece of any other form are not understood.

    Args:
        text: At most `LONGEST` characters.
        clocks_only: Every time needs a colon: bare numbers are not understood.
        moments: A time alone stands for its second.
    """
    if len(text) > LONGEST:
        return [], 1
    text = _evened(text)
    text = _PAIR.sub(r"\1-\2", _KEYS.sub(r"\1-\2", text))
    pieces = [each.strip().rstrip(".") for each in _SPLIT.split(_BRACKETS.sub(" ", text))]
    pieces = [_LEAD.sub("", each, count=1) or each for each in pieces if each]
    if any(map(_AS_SECONDS.fullmatch, pieces)) and not moments:
        # `12,5-16,0`, `300, 430`: what the commas are is not told.
        return [], len(pieces)
    read = [_read_span(piece, moments) if not clocks_only or ":" in piece else None for piece in pieces]
    spans = [span for span in read if span is not None and span[0] <= span[1]]
    return spans, len(pieces) - len(spans)


def find_spans(text: str) -> tuple[list[Span], str]:
    """Clock times inside a text, in its order, and the rest of the text: what a question or an option names.

    `1:15`, `0:01:15.250`, `<TIME 00:01:15.250 video 1>`; two of them with a dash, an arrow or `to` between, or `and`
    after `between`, are one span, a time alone is its second. Numbers without a colon are no times here.
    """
    if len(text) > LONGEST:
        return [], text
    spans: list[Span] = []

    def taken(match: re.Match[str]) -> str:
        span = _read_span(match.group(), moments=True)
        if span is None or span[0] > span[1]:
            return match.group()
        spans.append(span)
        return " "

    rest = _CLOCK_SPAN.sub(taken, _evened(text))
    return spans, rest


def _evened(text: str) -> str:
    """Lower case, signs that mean the same as one, and a dash for every way to say "until"."""
    text = _MILLISECONDS.sub(r"\1.\2", _MARK.sub(r"\1", text).translate(_SAME).lower())
    return _ARROW.sub("-", _BETWEEN.sub(r"\1-", text))


def _read_span(piece: str, moments: bool) -> Span | None:
    two = _TWO.fullmatch(piece)
    if two is None:
        time = read_time(piece) if moments else None
        return None if time is None else (time, time + 1.0)
    first, second = two.group(1).strip(), two.group(2).strip()
    begin, end = read_time(first), read_time(second)
    if begin is None or end is None:
        return None
    # A bare number beside a time of another kind: `5-7 min` and `300s-430` tell its unit, `5:00-430` and `5m-7` do not.
    if _AS_SECONDS.fullmatch(first) and not _AS_SECONDS.fullmatch(second):
        units = list(_units(second))
        return (begin * _SECONDS[units[0]], end) if len(units) == 1 else None
    if _AS_SECONDS.fullmatch(second) and not _AS_SECONDS.fullmatch(first) and list(_units(first)) != ["seconds"]:
        return None
    return begin, end
