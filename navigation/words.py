"""The words of a text in any script: what it is found by, and how much of it is shown."""

import re
import threading
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"  # Japanese, Chinese, Korean
)
"""A class of characters that are each a word: their scripts put no space between words, or, in Korean, few."""
LONGEST_WORD = 40
_SENTENCE_ENDS = (".", ";", ":", "!", "?", "。", "；", "：", "！", "？")
_UNSPACED = re.compile(f"[{UNSPACED}]")


@lru_cache(maxsize=1)
def _marks() -> str:
    """A class of the signs that belong to the character before them: `\\w` holds none, and पानी would be प and न."""
    codes = [code for code in range(0x300, 0x1E950) if unicodedata.category(chr(code))[0] == "M"]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda each: each[1] - each[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


@lru_cache(maxsize=1)
def _word() -> re.Pattern[str]:
    return re.compile(f"(?=[{UNSPACED}])\\w[{_marks()}]*|(?:(?![{UNSPACED}])[\\w{_marks()}])+")


@lru_cache(maxsize=1)
def _unit() -> re.Pattern[str]:
    return re.compile(f"[{UNSPACED}][{_marks()}]*|(?:(?![{UNSPACED}])\\S){{1,{LONGEST_WORD}}}")


def words_in(text: str) -> list[str]:
    """The words of a text in order, in lower case and in Unicode's composed form (NFC).

    A word is a run of letters, digits, `_` and the marks on them; of an `UNSPACED` script each character is one.
    """
    return _word().findall(unicodedata.normalize("NFC", text.lower()))


def tokens_of(text: str, shortest: int = 2) -> list[str]:
    """The words of a text but short ones: where words have spaces between them, what `bm25s.tokenize` finds.

    Args:
        text: Any.
        shortest: Characters of a word of a script that puts spaces between words.
    """
    return [word for word in words_in(text) if len(word) >= shortest or _UNSPACED.match(word)]


def word_spans(line: str) -> list[tuple[int, int]]:
    """Where the words of a text as it is shown begin and end, each with what stands beside it up to the next space.

    A character of an `UNSPACED` script is a word; of what goes on without a space, 40 characters are.
    """
    return [unit.span() for unit in _unit().finditer(line)]


def count_words(text: str) -> int:
    """How many words of `word_spans` a text has."""
    return len(word_spans(text))


def first_words(text: str, most: int) -> str:
    """The first words of a text, white space evened."""
    line = " ".join(text.split())
    spans = word_spans(line)
    return line if len(spans) <= most else line[: spans[most - 1][1]] if most > 0 else ""


@lru_cache(maxsize=1)
def _stemmer() -> tuple[Callable[[str], str], frozenset[str], threading.Lock]:
    import Stemmer
    from bm25s.stopwords import STOPWORDS_EN

    # Its stemmer keeps state between calls: one thread at a time.
    return Stemmer.Stemmer("english").stemWord, frozenset(STOPWORDS_EN), threading.Lock()


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    """The stem of a word; "" for one that says nothing."""
    stem, stopwords, lock = _stemmer()
    if word in stopwords:
        return ""
    with lock:
        return stem(word)


def terms(text: str) -> list[str]:
    """What a text is found by: the stems of its words (`words_in`) in order."""
    return [stem for word in words_in(text) if (stem := _stem(word[:LONGEST_WORD]))]


def snippet(text: str, wanted: set[str], most: int) -> str:
    """At most `most` words of a text, in one line: the stretch with most of the wanted terms, the first of equals.

    It begins with a sentence where one begins within its first half before the first wanted word. A character of a
    script without spaces is a word; so is every part of 40 characters of what has none for longer.
    """
    line = " ".join(text.split())
    spans = word_spans(line)
    if len(spans) <= most:
        return line
    words = [line[begin:end] for begin, end in spans]
    found = [{term for term in terms(word) if term in wanted} for word in words]
    starts = range(len(words) - most + 1)
    counts = [len(set().union(*found[start : start + most])) for start in starts]
    start = counts.index(max(counts))
    first = next((place for place in range(start, start + most) if found[place]), start)
    # Earlier begins keep the first wanted word in sight: a sentence is quoted from its begin where that fits.
    for begin in range(first, max(-1, first - most // 2), -1):
        fits = begin in starts and counts[begin] == counts[start]
        if fits and (begin == 0 or words[begin - 1].endswith(_SENTENCE_ENDS)):
            start = begin
            break
    cut = line[spans[start][0] : spans[start + most - 1][1]]
    return f"{'… ' if start else ''}{cut}{' …' if start + most < len(words) else ''}"
