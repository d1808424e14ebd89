"""Reads the answer letter from a final message: leniently, in one place."""

import re

from navigation.question import LETTERS

_TAG = re.compile(r"<answer>(.{0,400}?)</answer>", re.DOTALL | re.IGNORECASE)
_THINK_END = re.compile(r".*</think>", re.DOTALL | re.IGNORECASE)
_LETTER = re.compile(r"\s*(?:option\s+)?[(\[]?\s*([A-Za-z])\s*(?:[)\].:,]|$)", re.IGNORECASE)
_LONGEST = 20_000


def read_answer(content: str, option_count: int) -> str | None:
    """The letter a final message answers with, or None.

    The last `<answer>…</answer>` wins; without a tag the whole message must be an answer by itself. Inside either, `B`,
    `(B)`, `b.`, `B. text` and `Option B` read as B. Letters outside the options do not count. Reasoning does not count.

    Args:
        content: What the assistant wrote; only its last 20,000 characters are looked at.
        option_count: How many letters are valid.
    """
    text = _THINK_END.sub("", content[-_LONGEST:])
    if "<think>" in text.lower():
        return None
    tags = _TAG.findall(text)
    match = _LETTER.match(tags[-1] if tags else text)
    if match is None:
        return None
    letter = match.group(1).upper()
    return letter if letter in LETTERS[:option_count] else None
