"""An answer in words: read from a final message, and held against references where that needs no judge."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_ANSWER = re.compile(r"<(/?)answer>", re.ASCII | re.IGNORECASE)
_THINK = re.compile(r"<(/?)think>", re.ASCII | re.IGNORECASE)
_CALL = re.compile(r"</?tool(?:_call)?\b|<function\b|<\|tool|\[TOOL_CALL", re.IGNORECASE)
_LONGEST = 20_000


def read_text(content: str, only_tagged: bool = False) -> str | None:
    """What a final message answers in words, or None.

    The last `<answer>…</answer>` wins; without a tag the whole message is the answer, if it holds no written call.
    Reasoning does not count. Only the last 20,000 characters after it are read.

    Args:
        content: What the assistant wrote.
        only_tagged: A message without the tag is no answer: it was cut.
    """
    marks = list(_THINK.finditer(content))
    if marks and not marks[-1].group(1):
        return None
    text = content[marks[-1].end() if marks else 0 :][-_LONGEST:]
    tags = list(_ANSWER.finditer(text))
    if tags:
        closed = [(begin.end(), end.start()) for begin, end in pairwise(tags) if end.group(1) and not begin.group(1)]
        return (text[slice(*closed[-1])].strip() or None) if closed else None
    return None if only_tagged or _CALL.search(text) else (text.strip() or None)


_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
# Signs inside a number (3.5, 1:20, -4) and signs that are words (%, +, #, $) stay.
_PUNCTUATION = re.compile(
    r"(?<!\d)[.,:]|[.,:](?!\d)|[;!?\"'`()\[\]{}<>*_~|\\…“”‘’„«»。、，]|(?<=\w)[-–—](?=\D)|[-–—](?!\w)"
)


def normal(text: str) -> str:
    """A text as exact match compares it: no case, articles, outer punctuation and width of signs, blanks as one.

    After SQuAD's evaluation script (Rajpurkar et al. 2016), which also takes the point out of 3.5.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = " ".join(_PUNCTUATION.sub(" ", folded).split())
    return " ".join(_ARTICLES.sub(" ", bare).split()) or bare


class Match(NamedTuple):
    """What the rules say of an answer. `rule` is exact, number, time or yes_no."""

    right: bool
    rule: str


def match(answer: str, references: Sequence[str]) -> Match | None:
    """What rules can say of an answer; None where a judge is needed.

    An answer that equals a reference after `normal` is right. Where answer and references are nothing but numbers with
    a unit, times, spans of time or yes and no, their values decide. That an answer contains a reference decides
    nothing: "not red" contains red.
    """
    own = normal(answer)
    if own and any(own == normal(reference) for reference in references):
        return Match(True, "exact")
    found = [_compared(answer, reference) for reference in references]
    for each in found:
        if each is not None and each.right:
            return each
    if found and all(each is not None for each in found):
        return found[0]
    return None


def _compared(answer: str, reference: str) -> Match | None:
    expected = _yes_or_no(reference, most_words=1)
    if expected is not None:
        given = _yes_or_no(answer, most_words=12)
        return None if given is None else Match(given == expected, "yes_no")
    if (span := read_span(reference)) is not None:
        other = read_span(answer)
        return None if other is None else Match(_overlap(span, other) >= SPAN_IOU, "time")
    true, told = read_quantity(reference), read_quantity(answer)
    return None if true is None or told is None else _same_quantity(true, told)


def _yes_or_no(text: str, most_words: int) -> str | None:
    words = normal(text).replace(",", " ").split()
    if not words or len(words) > most_words or words[0] not in ("yes", "no"):
        return None
    return None if {"yes", "no"} <= set(words) else words[0]


SPAN_IOU = 0.5
"""Intersection over union from which two spans of time are the same: R@0.5 of moment retrieval."""
_CLOCK = r"(?:(\d{1,2}):)?(\d{1,3}):(\d{2})"
_SPAN = re.compile(rf"(?:from\s+)?{_CLOCK}\s*(?:-|–|—|to|until)\s*{_CLOCK}\.?", re.IGNORECASE)
_POINT = re.compile(rf"(?:at\s+)?{_CLOCK}\.?", re.IGNORECASE)


def _clock_seconds(groups: Sequence[str | None]) -> float:
    hours, minutes, seconds = (int(group or 0) for group in groups)
    return float(3600 * hours + 60 * minutes + seconds)


def read_span(text: str) -> tuple[float, float] | None:
    """`2:10-2:40` or `from 0:02:10 to 0:02:40` in seconds, if the text is nothing else."""
    found = _SPAN.fullmatch(text.strip()[:80])
    if found is None:
        return None
    begin, end = _clock_seconds(found.groups()[:3]), _clock_seconds(found.groups()[3:])
    return (begin, end) if begin <= end else None


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    union = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0])) / union if union > 0 else 1.0


class Quantity(NamedTuple):
    """A number with its unit. `dimension` is one of known units ("" for none), or the unit's own word."""

    value: float
    dimension: str
    known: bool
    clock: bool = False


_UNITS = {
    name: (dimension, float(factor))
    for row in (
        "time 1 s sec secs second seconds; time 60 min mins minute minutes; time 3600 h hr hrs hour hours",
        "time 86400 day days; length 0.001 mm; length 0.01 cm centimeter centimeters centimetre centimetres",
        "length 1 m meter meters metre metres; length 1000 km kilometer kilometers kilometre kilometres",
        "length 0.0254 inch inches; length 0.3048 ft foot feet; length 1609.344 mile miles",
        "mass 0.001 mg; mass 1 g gram grams; mass 1000 kg kilogram kilograms; mass 453.59237 lb lbs pound pounds",
        "volume 0.001 ml milliliter milliliters; volume 1 l liter liters litre litres; percent 1 % percent",
        "dollar 1 $ dollar dollars usd; euro 1 € euro euros eur",
    )
    for dimension, factor, *names in (part.split() for part in row.split(";"))
    for name in names
}
_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: number for number, word in enumerate(_ONES.split())}
_WORDS |= {word: 10 * number for number, word in enumerate(_TENS.split(), 2)}
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
_TOKEN = re.compile(rf"{_NUMBER.pattern}|[^\W\d_]+|[%$€°]")
_CLOSE = 0.1
"""Share by which two numbers, not both whole, may differ before they are certainly different: rounding is a judge's."""


def read_quantity(text: str) -> Quantity | None:
    """`3`, `three cups`, `1,200 m`, `$5`, `40 %`, `1 min 20 s` or `1:20`, if the text is nothing else."""
    text = unicodedata.normalize("NFKC", text).strip().rstrip(".!").casefold()
    if len(text) > 60:
        return None
    if found := _POINT.fullmatch(text):
        return Quantity(_clock_seconds(found.groups()), "time", True, clock=True)
    tokens = _TOKEN.findall(text)
    if not tokens or _TOKEN.sub("", text).replace("-", "").strip():
        return None
    if tokens[0] in ("$", "€") and len(tokens) > 1:
        tokens = [*tokens[1:], tokens[0]]
    parts: list[tuple[float, list[str]]] = []
    while tokens:
        value, used = _leading_number(tokens)
        if value is None:
            return None
        rest = tokens[used:]
        end = next((place for place, token in enumerate(rest) if _leading_number([token])[0] is not None), len(rest))
        parts.append((value, [token for token in rest[:end] if token not in ("and", "of", "the")]))
        tokens = rest[end:]
    if len(parts) == 1:
        return _one_quantity(*parts[0])
    # Several numbers are one quantity only as a time in its units.
    times = [_one_quantity(value, unit) for value, unit in parts]
    if all(each is not None and each.dimension == "time" for each in times):
        return Quantity(sum(each.value for each in times if each is not None), "time", True)
    return None


def _leading_number(tokens: Sequence[str]) -> tuple[float | None, int]:
    """A number that the tokens begin with, and how many of them it takes."""
    if _NUMBER.fullmatch(tokens[0]):
        return float(tokens[0].replace(",", "")), 1
    value, used = 0, 0
    for token in tokens[:3]:
        if token in _WORDS and (not used or (value % 100 >= 20 and value % 10 == 0 and _WORDS[token] < 10)):
            value += _WORDS[token]
        elif token == "hundred" and 0 < value < 10:
            value *= 100
        else:
            break
        used += 1
    return (float(value), used) if used else (None, 0)


def _one_quantity(value: float, unit: Sequence[str]) -> Quantity | None:
    if not unit:
        return Quantity(value, "", True)
    if len(unit) == 1 and unit[0] in _UNITS:
        dimension, factor = _UNITS[unit[0]]
        return Quantity(value * factor, dimension, True)
    return Quantity(value, " ".join(word.removesuffix("s") for word in unit), False) if len(unit) <= 2 else None


def _same_quantity(one: Quantity, other: Quantity) -> Match | None:
    rule = "time" if one.dimension == "time" else "number"
    if one.dimension != other.dimension and one.dimension and other.dimension:
        # Of known units, another dimension is another thing; "cups" and "mugs" are for a judge.
        return Match(False, rule) if one.known and other.known else None
    if bool(one.dimension) != bool(other.dimension) and rule == "time":
        return None  # "80" of what?
    apart = abs(one.value - other.value)
    if apart <= (1.0 if one.clock or other.clock else 1e-6 * max(abs(one.value), abs(other.value))):
        return Match(True, rule)
    whole = one.value.is_integer() and other.value.is_integer()
    return Match(False, rule) if whole or apart > _CLOSE * max(abs(one.value), abs(other.value)) else None
