"""What an episode gives as evidence: cited spans, else what it opened last on the deepest level."""

import pytest

from evaluation.meter import cite, evidence
from navigation import TimeGrid, Visit

GRID = TimeGrid(270.0, 3, 3)


def final(content):
    return [{"role": "assistant", "content": content}]


def test_a_citation_is_read_back_as_it_was_written():
    spans = ((12.0, 16.5), (40.0, 44.5))
    assert evidence(final(f"{cite(spans)}<answer>A</answer>"), [], GRID) == list(spans)
    assert cite(()) == ""


@pytest.mark.parametrize(
    ("content", "spans"),
    [
        ("<evidence>1-2</evidence><evidence>3-4</evidence>", [(3.0, 4.0)]),
        ("<evidence>250-999</evidence>", [(250.0, 270.0)]),
        ("<evidence>9-3, 400-500</evidence>", []),
        ("<evidence>" + ", ".join(f"{n}-{n + 1}" for n in range(9)) + "</evidence>", [(n, n + 1.0) for n in range(5)]),
        ("<evidence>" + "9" * 5000 + "-1</evidence>", []),
        (None, []),
    ],
)
def test_odd_citations(content, spans):
    assert evidence(final(content), [], GRID) == spans


def test_visits_stand_in_for_a_citation_the_last_opened_run_first():
    opened = [(1,), (1, 1), (1, 1, 1), (3, 3, 3), (1, 1, 2)]
    visits = [Visit("get_caption", path) for path in opened]
    assert evidence(final("<answer>A</answer>"), visits, GRID) == [(0.0, 20.0), (260.0, 270.0)]
    assert evidence(final("<answer>A</answer>"), visits[:2], GRID) == [(0.0, 30.0)]
    assert evidence(final("<answer>A</answer>"), [], GRID) == []
