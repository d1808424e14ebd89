"""What an episode gives as evidence: cited spans, else what it opened last on the deepest level."""

from pathlib import Path

import pytest

from evaluation.meter import Measures, cite, cited, evidence
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


@pytest.mark.parametrize(
    ("text", "spans", "unread"),
    [
        ("1:00-2:10, [200, 210]", [(60.0, 130.0), (200.0, 210.0)], 0),
        ("60s–130s; near the end; 250-260", [(60.0, 130.0), (250.0, 260.0)], 1),
        ("around the middle", [], 1),
        ("0:09-0:03, 400-500", [], 2),
        ("00:01:00,000 --> 00:02:10,000", [(60.0, 130.0)], 0),
    ],
)
def test_what_cannot_be_read_is_counted_and_never_a_span(text, spans, unread):
    messages = final(f"<evidence>{text}</evidence><answer>A</answer>")
    assert cited(messages, GRID.duration) == (spans, unread)
    # A citation that cannot be read is still one: visits do not stand in for it.
    assert evidence(messages, [Visit("get_caption", (1, 1))], GRID) == spans


def test_nothing_cited_is_no_unread_citation():
    assert cited(final("<evidence> </evidence>"), 270.0) is None
    assert cited(final("<evidence>1-2"), 270.0) is None
    assert Measures(evidence=[(1.0, 2.0)], unread_evidence=3).to_dict()["unread_evidence"] == 3


CASES = Path(__file__).parents[3] / "shared" / "cases" / "rows" / "evidence.tsv"


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not there")
def test_the_cases():
    for line in CASES.read_text(encoding="utf-8").splitlines():
        content, _, right = line.partition("\t")
        spans, unread = cited(final(content), 3600.0)
        if right == "unreadable":
            assert (spans, unread) == ([], 1)
        else:
            assert unread == 0
            assert ", ".join(f"{begin:g}-{end:g}" for begin, end in spans) == right
