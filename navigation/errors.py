"""One error for bad input: it says which file, which field, what was found and what would be right."""

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TypeGuard


class InputError(ValueError):
    """Input that a person can fix.

    Args:
        source: The file, folder or object the value came from.
        field: The field that is wrong.
        value: What was found; shortened to 80 characters in the message.
        hint: What to write, run or pass instead.
    """

    def __init__(self, source: str | Path, field: str, value: object, hint: str) -> None:
        try:
            shown = repr(value)
        except ValueError:  # an integer of more digits than Python writes
            shown = f"a very large {type(value).__name__}"
        if len(shown) > 80:
            shown = shown[:77] + "..."
        self.source, self.field, self.value, self.hint = str(source), field, value, hint
        super().__init__(f"{source}: {field} is {shown}: {hint}")

    def __reduce__(self):
        return type(self), (self.source, self.field, self.value, self.hint)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a hint that names the nearest of what is known; empty if nothing is near."""
    close = difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else ""


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value from a data file is a finite number that a float can hold; booleans are not."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a JSON integer may have hundreds of digits
        return False
