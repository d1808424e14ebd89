"""Video-MME (thanku-all/parse_answer, `eval_your_results.py`)."""

from collections.abc import Sequence

from evaluation.result import Row
from evaluation.scorers import answered, right
from evaluation.scorers.metric import Metric, micro

RULE = (
    "right / answered over all questions, by length too, as the released script has it: a reply without a letter "
    "counts neither above nor below the line. `accuracy` beside it counts every question."
)
LENGTHS = ("short", "medium", "long")


def metrics(rows: Sequence[Row]) -> list[Metric]:
    found = [micro("overall", rows, right, answered)]
    for length in LENGTHS:
        here = [f"length: {length}" in row.labels for row in rows]
        if any(here):
            found.append(
                micro(
                    length, rows, right, lambda row, length=length: answered(row) and f"length: {length}" in row.labels
                )
            )
    return [*found, micro("accuracy", rows, right)]
