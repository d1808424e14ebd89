"""Penalty for calls and endings that cannot be read."""

from navigation import Status
from rewards.settings import FormatSettings


def format_penalty(status: Status, refused: int, settings: FormatSettings) -> float:
    """Penalty in [0, 1]: what the ending costs plus what each refused call costs, cut at 1.

    Visits play no part, so opening more segments never makes it smaller.
    """
    ending = 0.0
    if status is Status.UNPARSABLE:
        ending = settings.unparsable
    elif status is Status.OUT_OF_TURNS:
        ending = settings.out_of_turns
    elif status is Status.OUT_OF_TOKENS:
        ending = settings.out_of_tokens
    return min(1.0, ending + refused * settings.refused)
