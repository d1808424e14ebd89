"""The letter that an episode ends with, read leniently and in one place."""

import re

from navigation.question import LETTERS

_TAG = re.compile(r"<answer>((?:(?!<answer>).){0,400}?)</answer>", re.DOTALL | re.IGNORECASE)
_THINK = re.compile(r"<(/?)think>", re.ASCII | re.IGNORECASE)
_LONGEST = 20_000

# Presentation. Emphasis, quotes and invisible signs say nothing; brackets of any kind are brackets, and signs of East
# Asian width are their ASCII ones. Letters of that width stay: no prompt shows them.
_SAME = str.maketrans("（［【〔｛〈《[{<：．。｡，、；／＆！）］】〕｝〉》]}>", "((((((((((:...,,;/&!))))))))))")
_NOTHING = dict.fromkeys(map(ord, "*`$\"'“”‘’„«»「」『』\u200b\u200c\u200d\u2060\ufeff"))
_MARKUP = re.compile(r"</?(?:em|strong|code|span|p|br)\s{0,9}/?>|<([biu])>(?=.{1,9}</\1>)|(?<=\w)</[biu]>", re.ASCII)
_LATEX = re.compile(r"\\[A-Za-z]{0,12}(?=[{(\[)\]}])")
_UNDERSCORES = re.compile(r"(?<![^\W_])_{1,3}(?=[A-Za-z(])|(?<=[A-Za-z).])_{1,3}(?![^\W_])")

# What precedes the letter. Possessive throughout: a megabyte of blanks is read once.
_BEGIN = r"[\s)#•–—-]*+"
_NOUN = r"(?:answer|option|choice)"
_LABEL = rf"(?i:(?:(?:final|correct|right)\s++)*+{_NOUN}\s*+[:=]?+|答案\s*+[是为]?+:?+|选项?\s*+:?+)\s*+"
_SENTENCE = rf"(?i:(?:(?:so|thus|therefore),?+\s++)?+(?:the|my)?\s*+(?:\w{{1,9}}\s++){{0,2}}{_NOUN}\s++is\s*+:?+)\s*+"
_MARKED = r"(?:\(\s*+)*+([A-Za-z])\s*+(?:[).:,!]|$|\(|[–—-]\s)"
_LETTER = re.compile(rf"{_BEGIN}(?:{_LABEL}){{0,2}}{_MARKED}")
_STATED = re.compile(rf"{_BEGIN}{_SENTENCE}(?:{_LABEL})?{_MARKED}")

# A second letter: of a list that the text begins with, or of a text of letters alone, …
_BETWEEN = r"(?:\s*+(?:[,;/&+|]|(?<=[\s,)])(?i:or|and)\b|[或和与])\s*+)++"
_ENDS = r"(?=\s*+(?:[,;/&+|).:]|(?i:or|and)\b|[或和与]|$))"
_LISTED = re.compile(rf"[\s).:]*+{_BETWEEN}(?:\(\s*+|option\s++)?+[A-Za-z]{_ENDS}")
_ALONE = re.compile(r"[\s).:,;/&+|(-]*+(?:[A-Za-z](?![A-Za-z])[\s).:,;/&+|(-]*+)++")
# … or one that is marked as an option again: `(B)` or `B)` after a comma, and, or; `B. …` on a new line or after `or`.
_PREFIX = r"\s*+(?:(?i:option|answer)\b\s*+:?+\s*+)?+"
_AGAIN = re.compile(
    rf"(?:[\n,;./&]|\b(?i:or|and)\b){_PREFIX}(?:\(\s*+([A-Za-z])\s*+\)|\b([A-Z])\s*+\))"
    rf"|(?:[\n;.]|\b(?i:or)\b){_PREFIX}\b([A-Z])[.:](?=\s++\S)"
)


def read_answer(content: str, option_count: int) -> str | None:
    """The letter a final message answers with, or None.

    The last `<answer>…</answer>` wins; without a tag the whole message must be an answer by itself. How the letter is
    presented does not matter: `B`, `(B)`, `b.`, `B. text`, `B - text`, `**B**`, `"B"`, `\\boxed{B}`, `（B）`, `B。`,
    `Option B` and `Answer: B` read as B, and inside a tag `The answer is B` too. Several letters (`A, B`, `(A) or (B)`)
    are no answer. Letters outside the options do not count. Reasoning does not count.

    Args:
        content: What the assistant wrote; only the last 20,000 characters after the reasoning are read.
        option_count: How many letters are valid.
    """
    # Looked for in the whole message, however long: what follows an unclosed `<think>` is reasoning too.
    marks = list(_THINK.finditer(content))
    if marks and not marks[-1].group(1):
        return None
    text = content[marks[-1].end() if marks else 0 :][-_LONGEST:]
    tags = _TAG.findall(text)
    text = _bare(tags[-1] if tags else text)
    first = _LETTER.match(text) or (_STATED.match(text) if tags else None)
    if first is None:
        return None
    letter = first.group(1).upper()
    if letter not in LETTERS[:option_count] or _names_another(text[first.end(1) :], letter, option_count):
        return None
    return letter


def _bare(text: str) -> str:
    """A text without its presentation: no emphasis, quotes, markup or LaTeX commands, one kind of bracket."""
    for pattern in (_MARKUP, _LATEX, _UNDERSCORES):
        text = pattern.sub("", text)
    return text.translate(_NOTHING).translate(_SAME)


def _names_another(rest: str, letter: str, option_count: int) -> bool:
    """Whether what follows an answer's letter gives another: `, B`, `) or (B)`, a line `B. …`."""
    if _LISTED.match(rest):
        return True
    if _ALONE.fullmatch(rest):
        return any(sign.upper() != letter for sign in rest if sign.isalpha())
    again = {"".join(found).upper() for found in _AGAIN.findall(rest)} - {letter}
    return any(other in LETTERS[:option_count] for other in again)
