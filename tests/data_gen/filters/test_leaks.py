import json
from pathlib import Path

import pytest

from data_gen.filters import find_leaks
from navigation import answer_message, assistant_message

PROMPT = (
    "The video lasts 17:04. Its tree has 3 levels; segments split into 4.\n0:00-4:16 [1] A park.\n"
    "4:16-8:32 [2] A teacher gives hints to pupils.\n8:32-12:48 [3] A beach.\n12:48-17:04 [4] A kitchen.\n\n"
    "Question: What colour is the ball?\nA. Red\nB. Blue\nC. Green"
)


def transcript(steps):
    """Messages of a trajectory from `(reasoning, path or letter)` pairs."""
    messages = [{"role": "system", "content": "Navigate the tree."}, {"role": "user", "content": PROMPT}]
    for reasoning, action in steps:
        if isinstance(action, str):
            messages.append(answer_message(reasoning, action))
        else:
            messages.append(assistant_message(reasoning, calls=[("get_caption", {"segment": list(action)})]))
            content = f"0:00-1:04 {list(action)} A child plays with a ball."
            messages.append({"role": "tool", "name": "get_caption", "content": content})
    return messages


def said(text, place=1):
    """A plain trajectory into which one sentence is put."""
    steps = [
        ["The beach may have a ball, so I open [3].", (3,)],
        ["Its second part comes next.", (3, 2)],
        ["A child plays there; a closer look at the first part.", (3, 2, 1)],
        ["The ball is blue.", "B"],
    ]
    steps[place][0] = f"{text} {steps[place][0]}" if place % 2 else f"{steps[place][0]} {text}"
    return transcript(steps)


def labelled(name):
    """`(leaks, messages)` of a set of hinted transcripts: half leak the hint, in different ways, and half do not."""
    rows = map(json.loads, Path(__file__).with_name("leak_cases.jsonl").read_text(encoding="utf-8").splitlines())
    return [
        (row["leaks"], said(row["text"], row["place"]) if "text" in row else transcript(row["steps"]))
        for row in rows
        if row["set"] == name
    ]


# The first was looked at while the detector was written; the second was written afterwards and never used to change it,
# so its figures are the honest ones.
TUNED, UNSEEN = labelled("tuned"), labelled("unseen")


def precision_and_recall(cases):
    found = [(leaks, bool(find_leaks(messages))) for leaks, messages in cases]
    caught = sum(leaks and seen for leaks, seen in found)
    return caught / sum(seen for _, seen in found), caught / sum(leaks for leaks, _ in found)


def test_the_sets_are_large_and_half_of_each_leaks():
    for cases in (TUNED, UNSEEN):
        assert sum(leaks for leaks, _ in cases) * 2 == len(cases)
    assert len(TUNED) + len(UNSEEN) >= 100


def test_figures_that_the_docs_give():
    assert precision_and_recall(TUNED) == (1.0, pytest.approx(117 / 118))
    assert precision_and_recall(UNSEEN) == (pytest.approx(20 / 21), pytest.approx(20 / 30))
    docs = (Path(__file__).parents[3] / "docs" / "traces.md").read_text()
    for cases in (TUNED, UNSEEN):
        precision, recall = precision_and_recall(cases)
        assert f"| {len(cases)} | {precision:.1%} | {recall:.1%} |" in docs


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([("The hint says so.", (1, 1)), ("Blue.", "B")], "hint"),
        ([("My previous answer was wrong.", (1, 1)), ("Blue.", "B")], "retracted"),
        ([("There.", (4, 3, 2)), ("Blue.", "B")], "unseen"),
    ],
)
def test_the_kind_and_place_of_a_leak_are_told(steps, kind):
    (leak,) = find_leaks(transcript(steps))
    assert (leak.kind, leak.turn) == (kind, 0)
    assert leak.quote


def test_tool_replies_and_prompts_are_no_reasoning():
    messages = transcript([("Open it.", (1, 1)), ("Blue.", "B")])
    messages[3]["content"] = "The hint says: your previous answer was wrong."
    assert find_leaks(messages) == []
