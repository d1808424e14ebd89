"""Questions and lettered options as evaluation tools write them into one prompt."""

import re
from typing import NamedTuple

from navigation import LETTERS

_MARK = r"(?P<open>[(\[（]?)\s*(?P<label>[A-Za-z]|\d{1,2})\s*(?P<close>[.)\]:：）．、])"
_OPTION = re.compile(rf"\s*(?:[-*•]\s+)?(?:\*\*|__)?{_MARK}(?:\*\*|__)?(?P<text>\s*\S.*)", re.DOTALL)
_INLINE = re.compile(rf"(?:^|(?<=[\s:;,]))(?:(?<![\w.]){_MARK})\s+(?=\S)")
_HEADING = re.compile(
    r"\s*[*_]{0,2}(?:(?:answer )?(?:options?|choices|candidates))[*_]{0,2}\s*[:：]?[*_]{0,2}\s*", re.IGNORECASE
)
_QUESTION = re.compile(r"\s*(?:\*\*)?(?:question|q)(?:\*\*)?\s*[:：](?:\*\*)?\s*", re.IGNORECASE)
_ORDER = re.compile(
    r"\b(?:answers?|options?|letters?|choices?|choose|select|respond|reply|output|assistant|explanations?|explain)\b"
    r"|^\s*A\s*:|答案|选项",
    re.IGNORECASE,
)
"""What a line after the options holds that says how to answer, not what is asked."""


class Prompt(NamedTuple):
    """A prompt taken apart; `dropped` are the lines after its options that say how to answer."""

    question: str
    options: tuple[str, ...]
    dropped: tuple[str, ...] = ()


class _Mark(NamedTuple):
    place: int
    kind: str
    number: int
    text: str


def split_prompt(text: str) -> Prompt:
    """Question and options of a prompt: `A. …`, `A) …`, `(A) …`, `A: …`, `a. …` or `1. …`, from the first on, in order.

    The last such list counts, capital letters before small ones before numbers; blank lines may stand in it, and lines
    without a mark go on with the option above them. Orders on how to answer after it (`Answer:`, `Respond with the
    letter`) are taken off, anything else there stays with the question. A list inside one line is read where no lines
    are. Without a list, or without a question, the whole text is the question.
    """
    lines = text.strip().splitlines()
    marks = [mark for place, line in enumerate(lines) if (mark := _mark(place, _OPTION.fullmatch(line)))]
    run = _last_run(marks)
    if not run:
        return _split_line(text)
    ends = [mark.place for mark in run[1:]] + [run[-1].place + 1]
    options = [
        " ".join([mark.text.strip(), *(line.strip() for line in lines[mark.place + 1 : end])]).strip()
        for mark, end in zip(run, ends, strict=True)
    ]
    return _prompt(text, lines[: run[0].place], options, lines[run[-1].place + 1 :])


def _split_line(text: str) -> Prompt:
    """`What? (A) one (B) two`, in the last line that holds such a list."""
    lines = text.strip().splitlines()
    for place in range(len(lines) - 1, -1, -1):
        line = lines[place]
        found = list(_INLINE.finditer(line))
        run = _last_run([mark for each in found if (mark := _mark(each.start(), each, each.end()))])
        if run and _begins_a_list(line, run[0].place):
            begins = {each.start(): each.end() for each in found}
            ends = [mark.place for mark in run[1:]] + [len(line)]
            options = [line[begins[mark.place] : end].strip(" ;,") for mark, end in zip(run, ends, strict=True)]
            return _prompt(text, [*lines[:place], line[: run[0].place]], options, lines[place + 1 :])
    return Prompt(text, ())


def _begins_a_list(line: str, place: int) -> bool:
    """Whether a mark inside a line begins options, and no sentence: `plan A. Then …` does not."""
    return (
        line[place:].lstrip()[:1] in "(（["
        or line[place + 1 : place + 2] == ")"
        or line[:place].rstrip()[-1:] in "?:？："
    )


def _prompt(text: str, before: list[str], options: list[str], after: list[str]) -> Prompt:
    while before and (not before[-1].strip() or _HEADING.fullmatch(before[-1])):
        before = before[:-1]
    if before:
        # The first line that begins with `Question:`; what stands before it, a task's introduction, is kept.
        first = next((place for place, line in enumerate(before) if _QUESTION.match(line)), None)
        if first is not None:
            before[first] = _QUESTION.sub("", before[first], count=1)
    dropped = [line.strip() for line in after if line.strip() and _ORDER.search(line)]
    kept = [line for line in after if line.strip() and not _ORDER.search(line)]
    question = "\n".join([*before, *kept]).strip()
    if not question or not all(options):
        return Prompt(text, ())
    return Prompt(question, tuple(options), tuple(dropped))


def _mark(place: int, match: re.Match[str] | None, end: int | None = None) -> _Mark | None:
    if match is None or (match["open"] and match["close"] not in ")]）"):
        return None
    label = match["label"]
    # `A.M.`, `1:30` and `1.5` begin no option.
    behind = match["text"] if end is None else " "
    if (label.isdigit() and match["close"] in ".:" and behind[:1].isdigit()) or behind[1:2] == ".":
        return None
    if label.isdigit():
        kind, number = "number", int(label) - 1
    else:
        kind, number = ("capital" if label.isupper() else "small"), LETTERS.index(label.upper())
    return _Mark(place, kind, number, match["text"] if end is None else "")


def _last_run(marks: list[_Mark]) -> list[_Mark]:
    """The last run of marks 0, 1, 2, … of one kind, at least two; empty if there is none."""
    for kind in ("capital", "small", "number"):
        runs: list[list[_Mark]] = []
        for mark in (each for each in marks if each.kind == kind):
            if mark.number == 0:
                runs.append([mark])
            elif runs and mark.number == len(runs[-1]):
                runs[-1].append(mark)
            elif runs:
                # A mark out of order: what is listed is not told.
                runs[-1] = []
        if long := [run for run in runs if len(run) >= 2]:
            return long[-1]
    return []
