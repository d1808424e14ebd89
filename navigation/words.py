"""The words of a text in any script, for rankings by words."""

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"  # Japanese, Chinese, Korean
)
"""A class of characters that are each a word: their scripts put no space between words, or, in Korean, few."""


LONGEST_WORD = 40
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
