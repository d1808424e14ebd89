"""How an episode ended, read from its transcript."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from navigation.answer import read_answer
from navigation.answer_text import read_text


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
    FILTERED = "filtered"
    """A provider refused a request, or cut its reply, for content: nothing can be said about the policy's answer."""
    FAILED = "failed"
    """The policy itself raised an error: nothing can be said about its answer."""


def read_outcome(
    messages: Sequence[Mapping[str, Any]],
    option_count: int,
    truncated: bool,
    turns_left: bool = False,
    filtered: bool = False,
) -> tuple[Status, str | None]:
    """Status and prediction of a finished transcript: a letter, or words where there are no options.

    Only the last message counts, and only if the assistant wrote it: an answer tag in a caption, in a tool's reply or
    in the reasoning is no answer.

    Args:
        messages: The transcript; what precedes the last message does not matter.
        option_count: How many letters are valid; 0 for an open question.
        truncated: Whether the last message was cut by a token limit.
        turns_left: Whether the policy could have gone on. A transcript that ends in a call although turns were left was
            ended by the token budget: its tool reply found no room.
        filtered: Whether a provider refused or cut the last message for its content: whatever it says is no answer.
    """
    if filtered:
        return Status.FILTERED, None
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        return Status.OUT_OF_TOKENS if turns_left or truncated else Status.OUT_OF_TURNS, None
    if last.get("tool_calls"):
        return Status.OUT_OF_TOKENS if turns_left or truncated else Status.OUT_OF_TURNS, None
    content = last.get("content")
    prediction = None
    if isinstance(content, str):
        prediction = read_answer(content, option_count) if option_count else read_text(content, only_tagged=truncated)
    if prediction is not None:
        return Status.ANSWERED, prediction
    return (Status.OUT_OF_TOKENS if truncated else Status.UNPARSABLE), None
