"""How an episode ended, and the letter it ended with, read leniently and in one place."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

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


class Status(StrEnum):
    """Ways for an episode to end. Each is counted apart everywhere."""

    ANSWERED = "answered"
    """The last message holds a readable answer."""
    OUT_OF_TURNS = "out_of_turns"
    """The policy still called tools when its turns were used up."""
    OUT_OF_TOKENS = "out_of_tokens"
    """The token budget ended in the middle of a message, or had no room for a tool's reply."""
    UNPARSABLE = "unparsable"
    """The last message is neither a tool call nor a readable answer."""
    FAILED = "failed"
    """The policy itself failed (an endpoint gave up, say): nothing can be said about its answer."""


def read_outcome(
    messages: Sequence[Mapping[str, Any]], option_count: int, truncated: bool, turns_left: bool = False
) -> tuple[Status, str | None]:
    """Status and predicted letter of a finished transcript.

    Only the last message counts, and only if the assistant wrote it: an answer tag in a caption, in a tool's reply or
    in the reasoning is no answer.

    Args:
        messages: The transcript; what precedes the last message does not matter.
        option_count: How many letters are valid.
        truncated: Whether the last message was cut by a token limit.
        turns_left: Whether the policy could have gone on. A transcript that ends in a call although turns were left was
            ended by the token budget: its tool reply found no room.
    """
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        return Status.OUT_OF_TOKENS if turns_left or truncated else Status.OUT_OF_TURNS, None
    if last.get("tool_calls"):
        return Status.OUT_OF_TOKENS if turns_left or truncated else Status.OUT_OF_TURNS, None
    content = last.get("content")
    letter = read_answer(content, option_count) if isinstance(content, str) else None
    if letter is not None:
        return Status.ANSWERED, letter
    return (Status.OUT_OF_TOKENS if truncated else Status.UNPARSABLE), None
