"""When two short action texts say the same thing."""

import re
from functools import lru_cache

_WORD = re.compile(r"\w+")
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an the and or of to in on into onto from with by for at it its his her their them this that some more up
        down out off over is are be then using use uses again""",
    )
)
_ENDINGS = ("ings", "ing", "ies", "es", "ed", "s", "e", "y")


@lru_cache(maxsize=65536)
def stems(text: str) -> frozenset[str]:
    """Content words without case, number and tense: `Slices the oranges.` and `slicing orange` give the same set."""
    words = _WORD.findall(text.casefold())
    content = [word for word in words if word not in _EMPTY_WORDS] or words or [text]
    return frozenset(map(_stem, content))


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    # cutting -> cutt -> cut
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou" else word


def similar(first: frozenset[str], second: frozenset[str]) -> bool:
    """Whether one says the other, or nearly: contained, or at least 0.6 of the words shared (Jaccard)."""
    common = len(first & second)
    return common == min(len(first), len(second)) or common >= 0.6 * len(first | second)


def word_count(text: str) -> int:
    return len(text.split())


def sentence(text: str) -> str:
    """The text with a capital first letter and a full stop."""
    text = text.rstrip(" .;,`")
    return text[:1].upper() + text[1:] + ("" if text.endswith(("!", "?")) else ".")
