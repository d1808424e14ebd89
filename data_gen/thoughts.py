"""What the scripted expert says before a call and before its answer."""

import random
import re
from collections.abc import Sequence

from data_gen.corpora.actions import stems
from data_gen.transcript import NAMED, Clause, Transcript
from navigation import SegmentPath, TimeGrid
from navigation.grid import format_path

_WORD = re.compile(r"[^\W\d_]+")
_NUMBERED = re.compile(r"\[(\d+)\] ([^\W\d_]+)")
_RELATIONS = frozenset({"after", "before", "first", "last", "until", "while", "following", "previous"})
_PREPOSITIONS = frozenset(["at", "by", "during", "from", "in", "into", "on", "under", "with"])
_ARTICLES = frozenset(["a", "an", "her", "his", "the", "their", "your"])
_STOPWORDS = frozenset(
    _WORD.findall(
        """a an and are as at be by did do does during for from has have he her his in into is it its of on or she some
        that the their them then there they thing this time to was what when where which who why will with you your"""
    )
)


class Thoughts:
    """What the expert says before a call and before the answer: each sentence follows from what the transcript shows.

    The quote comes first, then the segment that it leads to, since a small model finds what to write next beside what
    it has just copied; for the same reason the answer's text comes before its letter. Captions that number their parts
    lead by those numbers.
    """

    def __init__(self, read: Transcript, grid: TimeGrid, rng: random.Random) -> None:
        self._read, self._grid, self._rng = read, grid, rng
        self._keywords = [
            word
            for word in dict.fromkeys(_words(read.question.question))
            if word not in _STOPWORDS or word in _RELATIONS
        ]

    def way_back(self, path: SegmentPath) -> str:
        """After a detour to `path`: that what is looked for was not there, unless it was."""
        return "" if self._read.best(self._read.subject, path, NAMED) else "Not there. "

    def leading_to(self, path: SegmentPath, detour: bool = False) -> str:
        """Why to open `path`."""
        above = self._read.above(path)
        if not self._numbered(above) or self._read.found:
            return self._reason(path, above)
        # The numbers lead to no detour, and what they lead to is said once.
        quotes = "" if detour else self._numbers(path, above)
        return f"Look {quotes}" if quotes else "Not read yet."

    def _numbered(self, path: SegmentPath) -> bool:
        return _NUMBERED.search(self._read.captions.get(path, "").lower()) is not None

    def _reason(self, path: SegmentPath, above: SegmentPath) -> str:
        read, address = self._read, format_path(path)
        beside = self._beside(path)
        if beside is not None:
            later = beside.path < path
            if read.order and later == (read.order == "after"):
                return self._neighbour(beside, path)
            asked = "how it goes on is not read yet" if later else "how it began is not read yet"
            return f"“{beside.text}” is in {format_path(beside.path)}; {asked}. Open {address}."
        clause = read.best(read.subject, above)
        if clause is None:
            wanted = [stems(option) for option in read.question.options]
            found = [read.best(words, above, NAMED) for words in wanted]
            named = [each for each in found if each is not None]
            if not named:
                looked_for = f"“{read.asked_for}”" if read.asked_for else "what is asked for"
                return self._pick(
                    f"Nothing read names {looked_for} near {address}, and it is not read yet. Open {address}.",
                    f"{address} is not read yet, and no caption above it names {looked_for}. Open {address}.",
                )
            clause = named[0]
            return f"“{clause.text}”, an option, is in {format_path(above)}. Open its part {address}."
        quote = self._pick(
            f"“{clause.text}” is in {format_path(above)}", f"“{clause.text}” is told in {format_path(above)}"
        )
        told, part = clause.place, (path[-1] - 0.5) / self._grid.width
        if read.order and (part > told) == (read.order == "after"):
            return f"{quote}; what comes {read.order} it should be {_PLACES[_third(part)]} in it. Open {address}."
        if _third(told) == _third(part):
            return f"{quote}, {_PLACES[_third(told)]} in it. So open {address}."
        return f"{quote}; which part shows it is not said. Open {address}."

    def _beside(self, path: SegmentPath) -> Clause | None:
        """A clause that names the subject, opened on the level of `path` and not its own."""
        read = self._read
        level = [each for each in read.clauses if each.opened and len(each.path) == len(path) and each.path != path]
        named = [each for each in level if each.share(read.subject) >= NAMED]
        return named[-1] if named else None

    def _pick(self, *wordings: str) -> str:
        return self._rng.choice(wordings)

    def _numbers(self, path: SegmentPath, above: SegmentPath) -> str:
        """The question's words that the caption above `path` holds and no earlier reasoning named.

        Each comes with its article or preposition in the question and with the number that the caption gives it,
        the first one else with its segment's own number: "in park [3] during dance [1]". Words of order come too, and
        the number they lead to: "after the cup [2] so [3]". At most four words.
        """
        caption = self._read.captions[above]
        said = set(_words(self._read.said))
        numbers = {word: number for number, word in _NUMBERED.findall(caption.lower())}
        found = [word for word in self._keywords if word in _words(caption) and word not in said]
        if not found:
            return ""
        numbers.setdefault(found[0], str(above[-1]))
        relations = _RELATIONS if any(word in numbers for word in found) and len(path) > 2 else frozenset()
        chosen = [word for word in self._keywords if word in found or word in relations][:4]
        asked = _words(self._read.question.question)
        named = [_with_word_before(word, asked) for word in chosen]
        if named[0].split()[0] not in _PREPOSITIONS | _RELATIONS:
            named[0] = f"for {named[0]}"
        quoted = " ".join(
            f"{name} [{numbers[word]}]" if word in numbers else name for name, word in zip(named, chosen, strict=True)
        )
        # What comes after or before a numbered word is the neighbouring number: said before it is opened.
        beside = relations and str(path[-1]) not in (numbers.get(word) for word in found)
        return f"{quoted} so [{path[-1]}]" if beside else quoted

    def query(self) -> str:
        return " ".join(self._keywords[-2:])

    def searched_for(self) -> str:
        """The question's own words: what it quotes, else its words that do not ask, at most eight."""
        told = [word for word in self._keywords if stems(word) <= self._read.subject]
        return self._read.asked_for or " ".join(told[:8]) or self._read.question.question

    def before_search(self, words: str) -> str:
        if self._read.asked_for:
            return self._pick(f"It asks about “{words}”. Search for that.", f"Where is “{words}”? Search for it.")
        return self._pick(f"Search for what it names: {words}.", f"Look up where this is: {words}.")

    def of_result(self, chosen: Clause) -> str:
        """Why to open what a search found: its words first, then the segment that stood beside them."""
        read, address = self._read, format_path(chosen.path)
        anchor = max(read.found, key=lambda clause: clause.share(read.subject))
        beside = len(anchor.path) == len(chosen.path) and (anchor.path < chosen.path) == (read.order == "after")
        if read.order and beside and chosen.path != anchor.path and chosen.share(read.subject) < NAMED:
            return self._neighbour(anchor, chosen.path)
        return self._pick(
            f"“{chosen.text}” is in {address}. Open {address}.", f"“{chosen.text}”: {address}. Open {address}."
        )

    def _neighbour(self, anchor: Clause, path: SegmentPath) -> str:
        """That what comes after, or before, what was read is in `path`, which lies on that side."""
        where = "later" if anchor.path < path else "earlier"
        quote = f"“{anchor.text}” is in {format_path(anchor.path)}"
        return f"{quote}; what comes {self._read.order} it is {where}. Open {format_path(path)}."

    def conclusion(self) -> str:
        """What was read that settles the question, the answer's text, its letter; or that nothing settles it."""
        question = self._read.question
        answer = f"{question.accepted[0]} ({question.answer})." if question.options else f"{question.accepted[0]}."
        support = self._read.support()
        if support is None:
            unknown = "which option is right" if question.options else "what the answer is"
            return f"Nothing read says {unknown}. A guess: {answer}"
        clause = support.clause
        quote = f"“{clause.text}” is in {format_path(clause.path)}"
        if not support.named:
            quote += f", {clause.written}"
        elif self._read.order and not self._numbered(self._read.above(clause.path)):
            beside = self._told_beside(clause)
            if beside:
                # The answer's own quote comes last: what is copied next is what was quoted last.
                quote = f"{self._read.order.capitalize()} “{beside.text}” in {format_path(beside.path)}, {quote}"
        return f"{quote}. It is {answer}"

    def _told_beside(self, clause: Clause) -> Clause | None:
        """The clause opened latest that names the subject, on the side of `clause` that the question asks for."""
        read = self._read
        named = [each for each in read.clauses if each.opened and each.share(read.subject) >= NAMED]
        place = (clause.path, clause.place)
        right = [each for each in named if ((each.path, each.place) < place) == (read.order == "after")]
        return next((each for each in reversed(right) if each != clause), None)


_PLACES = ("early", "halfway", "late")


def _third(place: float) -> int:
    return min(2, int(3 * place))


def _with_word_before(word: str, asked: Sequence[str]) -> str:
    """A word as it was asked for, with the article or preposition before it: a reader copies a phrase, not a word."""
    place = asked.index(word)
    return f"{asked[place - 1]} {word}" if place and asked[place - 1] in _ARTICLES | _PREPOSITIONS else word


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
