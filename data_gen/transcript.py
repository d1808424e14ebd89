"""What a transcript has shown, clause by clause, and what of it bears on a question: only what a policy could read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from data_gen.corpora.actions import stems
from data_gen.corpora.compose import CONTINUED
from navigation import LETTERS, Question, SegmentPath
from navigation.prompt import split_prompt
from navigation.search import RESULT
from navigation.times import Span, find_spans, read_spans
from navigation.tools import SEARCH, parse_path

_SHOWN = re.compile(r"(?P<span>[\d:]+-[\d:]+) (?P<path>\[\d+(?:, \d+)*\]) (?P<caption>.*)")
_CLAUSE = re.compile(r"(?<=[.!?;:])\s+|\s+(?=\[\d)")
QUOTED = re.compile(r"[“\"]([^”\"]{3,})[”\"]")
_ASKING = stems(
    "what which who when where why how does do did was were has have there their she he you your during while after "
    "before right comes come happen happens first last following step these part time"
)
_AFTER = re.compile(r"\b(after|following|next)\b")
_BEFORE = re.compile(r"\b(before|previous)\b")

NAMED = 0.75
"""Share of a text's words that a clause holds to say it."""
LIKE_IT = 0.5
"""Share of a text's words that a clause holds to lead towards it."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of a caption between stops, as it was read.

    Args:
        text: Without the stop at its end, and without the mark of a step that goes on.
        path: The segment whose caption holds it.
        span: The segment's time, as written and in seconds.
        place: Where in the caption it stands, 0 to 1.
        opened: Whether a call that opened its segment showed it, not the prompt or a search.
    """

    text: str
    path: SegmentPath
    written: str
    span: Span
    place: float
    opened: bool

    def share(self, words: frozenset[str]) -> float:
        """Share of `words` that it holds, 0 to 1."""
        return len(words & stems(self.text)) / len(words) if words else 0.0


@dataclass(frozen=True, slots=True)
class Support:
    """Why an option is right: the clause that says so, and whether it settles it against the other options."""

    clause: Clause
    named: bool
    """Whether the clause says the option's text; else its time falls in the option's span."""


class Transcript:
    """Clauses that the messages of an episode have shown, in the order in which they were.

    Args:
        question: Only its text and options are looked at until `support` is asked for the right one.
        messages: Prompt, turns and tool replies so far.
    """

    def __init__(self, question: Question, messages: Sequence[Mapping[str, Any]]) -> None:
        self.question = question
        self.captions: dict[SegmentPath, str] = {}
        self.clauses: list[Clause] = []
        self.found: list[Clause] = []
        """Clauses of what searches found, best first of each; they are not among `clauses`."""
        self.said = " ".join(m.get("reasoning_content") or "" for m in messages if m["role"] == "assistant")
        calls = [call["function"] for m in messages for call in m.get("tool_calls") or ()]
        self.searched = [call["arguments"].get("query", "") for call in calls if call["name"] == SEARCH]
        """Queries in order."""
        self.opened = [path for call in calls if (path := parse_path(call["arguments"].get("segment"))) is not None]
        """Segments in the order in which calls named them."""
        for message in messages:
            if message["role"] == "user":
                self._read(split_prompt(message["content"])[0], opened=False)
            elif message["role"] == "tool" and message.get("name") == SEARCH:
                self._read_found(message["content"])
            elif message["role"] == "tool":
                self._read(message["content"], opened=True)
        quoted = QUOTED.search(question.question)
        words = stems(quoted.group(1) if quoted else question.question)
        self.subject = words if quoted else (words - _ASKING or words)
        """Stems of what the question is about: of what it quotes, or of its words that do not ask."""
        self.asked_for = quoted.group(1) if quoted else ""

    def _read(self, text: str, opened: bool) -> None:
        for line in text.splitlines():
            if read := _shown(line):
                caption, path, written, span = read
                self.captions[path] = caption
                pieces = _clauses(caption)
                for number, piece in enumerate(pieces):
                    self.clauses.append(Clause(piece, path, written, span, (number + 0.5) / len(pieces), opened))

    def _read_found(self, text: str) -> None:
        for line in text.splitlines():
            if read := _placed(RESULT.fullmatch(line)):
                snippet, path, written, span = read
                for piece in _clauses(snippet.strip("… ")):
                    self.found.append(Clause(piece, path, written, span, 0.5, opened=False))

    def above(self, path: SegmentPath) -> SegmentPath:
        """The nearest segment above `path` whose caption was shown; () if none was."""
        return next((path[:level] for level in range(len(path) - 1, 0, -1) if path[:level] in self.captions), ())

    def best(self, words: frozenset[str], path: SegmentPath | None = None, least: float = LIKE_IT) -> Clause | None:
        """The clause that holds most of `words`, the latest of equals; in one segment's caption or in any.

        Args:
            words: Stems.
            path: The segment; None for all that was read.
            least: Share that it must hold.
        """
        found = [clause for clause in self.clauses if path is None or clause.path == path]
        chosen = max(reversed(found), key=lambda clause: clause.share(words), default=None)
        return chosen if chosen is not None and chosen.share(words) >= least else None

    @property
    def order(self) -> str:
        """`after` or `before` where the question asks for a neighbour in time; else empty."""
        text = QUOTED.sub("", self.question.question).lower()
        return "after" if _AFTER.search(text) else "before" if _BEFORE.search(text) else ""

    def support(self) -> Support | None:
        """What was opened that speaks for the right option and for no other as well; None if nothing does.

        An option is named by a clause that holds at least 0.75 of its stems and stands on the side of the subject that
        the question asks for; no clause opened may hold more of another option's. An option that is a span is supported
        where the subject was read at a time that shares more with it than with any other option's.
        """
        options, right = self.question.options, 0
        if options:
            right = LETTERS.index(self.question.answer)
        else:  # in words: nothing stands against the reference
            options = self.question.references[:1]
        opened = [clause for clause in self.clauses if clause.opened]
        spans = [find_spans(option)[0] for option in options]
        if all(len(found) == 1 for found in spans):
            read = [clause for clause in opened if clause.share(self.subject) >= NAMED]
            read.sort(key=lambda clause: clause.span[1] - clause.span[0])
            for clause in read:
                shares = [_shared(clause.span, found[0]) for found in spans]
                if shares[right] > max((share for n, share in enumerate(shares) if n != right), default=0.0):
                    return Support(clause, named=False)
            return None
        wanted = [stems(option) for option in options]
        best = [max((clause.share(words) for clause in opened), default=0.0) for words in wanted]
        named = self.on_the_asked_side([clause for clause in opened if clause.share(wanted[right]) >= NAMED])
        if not named or best[right] < max(best):
            return None
        # Of several the one that says least else, the latest of equals.
        clause = max(reversed(named), key=lambda each: (each.share(wanted[right]), -len(stems(each.text))))
        return Support(clause, named=True)

    def on_the_asked_side(self, clauses: Sequence[Clause]) -> list[Clause]:
        """Those after, or before, an opened clause that names the subject; all where no order is asked for or known."""
        subject = [each for each in self.clauses if each.opened and each.share(self.subject) >= NAMED]
        if not self.order or not subject:
            return list(clauses)
        places = [(clause.path, clause.place) for clause in subject]
        if self.order == "after":
            return [clause for clause in clauses if (clause.path, clause.place) > min(places)]
        return [clause for clause in clauses if (clause.path, clause.place) < max(places)]


@lru_cache(maxsize=4096)
def _shown(line: str) -> tuple[str, SegmentPath, str, Span] | None:
    # Every turn of an episode reads the prompt's lines again, and so does the next question on the video.
    return _placed(_SHOWN.fullmatch(line))


def _placed(match: re.Match[str] | None) -> tuple[str, SegmentPath, str, Span] | None:
    """Caption, segment and time, as written and in seconds, of a line as captions or searches show it."""
    path = parse_path(match["path"]) if match else None
    spans = read_spans(match["span"])[0] if match else []
    return (match["caption"], path, match["span"], spans[0]) if match and path is not None and spans else None


@lru_cache(maxsize=4096)
def _clauses(caption: str) -> tuple[str, ...]:
    # A model that is taught to quote the mark writes it where an option's letter belongs.
    return tuple(piece for each in _CLAUSE.split(caption) if (piece := each.rstrip(" .;:,").removesuffix(CONTINUED)))


def _shared(one: Span, other: Span) -> float:
    """Seconds that two spans share."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
