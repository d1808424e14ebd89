import importlib.util
from pathlib import Path

import pytest

from data_gen.filters import find_leaks

_SPEC = importlib.util.spec_from_file_location("leak_cases", Path(__file__).with_name("leak_cases.py"))
cases = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(cases)


def precision_and_recall(labelled):
    found = [(leaks, bool(find_leaks(messages))) for leaks, messages in labelled]
    caught = sum(leaks and seen for leaks, seen in found)
    return caught / sum(seen for _, seen in found), caught / sum(leaks for leaks, _ in found)


def test_the_sets_are_large_and_half_of_each_leaks():
    for labelled in (cases.TUNED, cases.UNSEEN):
        assert sum(leaks for leaks, _ in labelled) * 2 == len(labelled)
    assert len(cases.TUNED) + len(cases.UNSEEN) >= 100


def test_figures_that_the_docs_give():
    assert precision_and_recall(cases.TUNED) == (1.0, pytest.approx(117 / 118))
    assert precision_and_recall(cases.UNSEEN) == (pytest.approx(20 / 21), pytest.approx(20 / 30))
    docs = (Path(__file__).parents[3] / "docs" / "traces.md").read_text()
    for labelled in (cases.TUNED, cases.UNSEEN):
        precision, recall = precision_and_recall(labelled)
        assert f"| {len(labelled)} | {precision:.1%} | {recall:.1%} |" in docs


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([("The hint says so.", (1, 1)), ("Blue.", "B")], "hint"),
        ([("My previous answer was wrong.", (1, 1)), ("Blue.", "B")], "retracted"),
        ([("There.", (4, 3, 2)), ("Blue.", "B")], "unseen"),
    ],
)
def test_the_kind_and_place_of_a_leak_are_told(steps, kind):
    (leak,) = find_leaks(cases.transcript(steps))
    assert (leak.kind, leak.turn) == (kind, 0)
    assert leak.quote


def test_tool_replies_and_prompts_are_no_reasoning():
    messages = cases.transcript([("Open it.", (1, 1)), ("Blue.", "B")])
    messages[3]["content"] = "The hint says: your previous answer was wrong."
    assert find_leaks(messages) == []
