"""Reads the answer letter from a final message: leniently, in one place."""

import re

from navigation.question import LETTERS

_TAG = re.compile(r"<answer>((?:(?!<answer>).){0,400}?)</answer>", re.DOTALL | re.IGNORECASE)
_THINK = re.compile(r"<(/?)think>", re.ASCII | re.IGNORECASE)
# Possessive: a megabyte of blanks is read once.
_LETTER = re.compile(r"\s*+(?:(?i:option)\s++)?[(\[]?\s*+([A-Za-z])\s*+(?:[)\].:,]|$)")
_LONGEST = 20_000


def read_answer(content: str, option_count: int) -> str | None:
    """The letter a final message answers with, or None.

    The last `<answer>…</answer>` wins; without a tag the whole message must be an answer by itself. Inside either, `B`,
    `(B)`, `b.`, `B. text` and `Option B` read as B. Letters outside the options do not count. Reasoning does not count.

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
    match = _LETTER.match(tags[-1] if tags else text)
    if match is None:
        return None
    letter = match.group(1).upper()
    return letter if letter in LETTERS[:option_count] else None
