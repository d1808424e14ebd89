"""One error for bad input: it says which file, which field, what was found and what would be right."""

from pathlib import Path


class InputError(ValueError):
    """Input that a person can mend.

    Args:
        source: The file, folder or object the value came from.
        field: The field that is wrong.
        value: What was found; shortened to 80 characters in the message.
        mend: What to write, run or pass instead.
    """

    def __init__(self, source: str | Path, field: str, value: object, mend: str) -> None:
        shown = repr(value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        self.source, self.field, self.value, self.mend = str(source), field, value, mend
        super().__init__(f"{source}: {field} is {shown}: {mend}")

    def __reduce__(self):
        return type(self), (self.source, self.field, self.value, self.mend)
