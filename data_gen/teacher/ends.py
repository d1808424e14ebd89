"""How a teacher's walk ended, finer than an episode's status."""

from enum import StrEnum

from navigation import Status


class End(StrEnum):
    """Ways for a walk to end. Each is counted apart."""

    RIGHT = "right"
    """The right answer, perhaps after hints."""
    WRONG = "wrong"
    """A wrong answer after the last hint."""
    OUT_OF_ROUNDS = "out_of_rounds"
    OUT_OF_TOKENS = "out_of_tokens"
    MALFORMED = "malformed"
    """Too many malformed replies in a row."""
    OUT_OF_MONEY = "out_of_money"
    """The walk's own limit on money."""
    FAILED = "failed"
    """A request failed for good."""


STATUS_OF = {
    End.RIGHT: Status.ANSWERED, End.WRONG: Status.ANSWERED, End.OUT_OF_ROUNDS: Status.OUT_OF_TURNS,
    End.OUT_OF_TOKENS: Status.OUT_OF_TOKENS, End.MALFORMED: Status.UNPARSABLE, End.OUT_OF_MONEY: Status.FAILED,
    End.FAILED: Status.FAILED,
}  # fmt: skip
