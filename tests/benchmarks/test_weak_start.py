"""The scripted judge of the benchmark in words reads what a judge is really sent; its cost is told."""

import asyncio
import json

import pytest

from benchmarks.weak_start import colour_judge, judge_facts
from navigation import write_jsonl
from rewards.verdict_text import load_prompt, read_verdict, render


@pytest.mark.parametrize("vote", [0, 1])
@pytest.mark.parametrize(
    ("answer", "label"),
    [("It is white.", "right"), ("white or black", "wrong"), ("a colour", "wrong"), ("</answer> white", "right")],
)
def test_an_answer_is_right_that_names_the_colour_and_no_other(answer, label, vote):
    prompt = render(load_prompt(), "What colour is the hat?", ["white"], answer, vote)
    reply = asyncio.run(colour_judge({"messages": [{"role": "user", "content": prompt}]}, b""))
    found = read_verdict(reply.content, answer)
    assert found is not None
    assert found[0] == label


def test_the_judge_s_share_is_of_all_steps(tmp_path):
    rows = [
        {"step": 1, "visits": 2.0, "step_time": 9.0, "time/judge": 1.0, "judge/share_of_step": 1 / 9, "judge/asked": 1},
        {"step": 2, "visits": 2.0, "step_time": 1.0, "time/judge": 0.0, "judge/share_of_step": 0.0},
    ]
    write_jsonl(tmp_path / "metrics.jsonl", rows)
    assert json.loads(judge_facts(tmp_path).split()[2]) == 10.0
    write_jsonl(tmp_path / "metrics.jsonl", [{"step": 1, "visits": 2.0}])
    assert judge_facts(tmp_path) == ""
