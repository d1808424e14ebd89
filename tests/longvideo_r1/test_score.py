import json
from pathlib import Path

import pytest

from longvideo_r1.score import LONGEST_LITERAL, official_grounding, official_score, tagged
from navigation import GET_CAPTION, VIDEO_QA, Visit

CASES = Path(__file__).resolve().parents[2] / "../shared/data/official/official_reward_cases.json"


def test_reproduces_every_released_case() -> None:
    if not CASES.exists():
        pytest.skip(f"{CASES} is not here")
    cases = json.loads(CASES.read_text())["cases"]
    assert len(cases) == 313
    for case in cases:
        score = official_score(
            case["completion"], case["ground_truth"], case["clue_intervals"], case["width"], case["duration"]
        )
        assert score == pytest.approx(case["expected"], abs=1e-6), case["name"]


def score(*calls: str, answer: str = "B", clues: list[list[float]] | None = None) -> dict[str, float]:
    text = "".join(f"<tool>{call}</tool>" for call in calls) + f"<answer>{answer}</answer>"
    return official_score(text, "B", [[200, 300]] if clues is None else clues, 6, 3600.0)


@pytest.mark.parametrize(
    ("calls", "f1", "repeats"),
    [
        (["get_caption((1,3))", "get_caption(3)"], 0, 0),
        (["get_caption((1,3))", "get_caption([1,3])"], 0, 0),
        (["get_caption((1,3))", "get_caption(None)"], 0, 0),
        (["get_caption((1,3))", "get_caption('ab')"], 0, 0),
        (["get_caption((1,3))", "get_caption('ab')", "get_caption('ab')"], 0, 0.5),
        (["get_caption((1,3))", "get_caption([1,2,3,4])"], 1, 0),
        (["get_caption((1,3))", "get_caption((1,2,3,4))"], 1, 0),
        (["get_caption((1,3))", "get_caption(x)", "look((1,3))", "get_caption(1,3"], 1, 0),
        (["get_caption((1,3))", "get_caption(1,3)", "get_caption((True,3.0))"], 3, 2),
        (["get_caption((1,3))", "get_caption()"], 1, 0),
        (["get_caption((1,3)) and (9,9)"], 0, 0),
        (["(get_caption((1,3)))"], 0, 0),
        (["get_caption((1,3))", "get_caption((1e999,1))"], 1, 0),
        (["get_caption((1,3))", f"get_caption(({'9' * 400},1))"], 0, 0),
    ],
)
def test_quirks_of_the_released_function(calls: list[str], f1: float, repeats: float) -> None:
    result = score(*calls)
    assert result["repeat_reward"] == pytest.approx(repeats)
    assert result["f1_reward"] == pytest.approx(f1)
    assert result["score"] == pytest.approx(1 + result["f1_reward"] - 0.2 * result["repeat_reward"])


def test_a_clue_inside_another_is_merged_as_released() -> None:
    """Three clues come of these four: 0-100 and 10-20 join, 26-30 lies 6 s after 20, 90-95 stands alone."""
    joined = score("get_caption((1,))", clues=[[0, 100], [10, 20], [26, 30], [90, 95]])
    both = 100 + 4 + 5
    recall, precision = both / (100 + 4 + 5), both / 600
    assert joined["f1_reward"] == pytest.approx(2 * recall * precision / (recall + precision))


def test_grounding_for_grpo_is_the_score_without_the_answer() -> None:
    visits = [Visit(GET_CAPTION, (1,)), Visit(GET_CAPTION, (1, 3)), Visit(VIDEO_QA, (1, 3, 1), "x")] * 2
    text = tagged(visits, "B")
    whole = official_score(text, "B", [[200, 300]], 6, 3600.0)
    assert whole["answer_reward"] == 1
    assert official_grounding(text, [[200, 300]], 6, 3600.0) == pytest.approx(whole["score"] - 1)


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize(
    "argument",
    ["((1,3))", "(1,3,)", "(0x1,3)", "b'ab'", "'a' 'b'", "'\\q'", f"(1,{' ' * (LONGEST_LITERAL - 5)}3)"],
)
def test_a_literal_counts_as_a_visit(argument: str) -> None:
    assert score(*[f"get_caption({argument})"] * 2)["repeat_reward"] == 1


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize(
    "argument",
    [
        "x", "(1,3", "{[]}", "'\\x4'", "f'a'", "9" * 4301, "9" * 400 + "+1j", "1 if 1 else 2",
        "__import__('os').getcwd()",
        "[" * 201 + "]" * 201, f"(1,{' ' * LONGEST_LITERAL}3)",
    ],
)  # fmt: skip
def test_what_is_no_literal_is_passed_over(argument: str) -> None:
    assert score("get_caption((1,3))", *[f"get_caption({argument})"] * 2) == score("get_caption((1,3))")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1_000_000, "<tool>" * 200_000, "<answer>" * 150_000, "<tool>get_caption(" + "(" * 1_000_000 + ")</tool>",
        "<tool>get_caption(" + "1," * 500_000 + ")</tool>", "<tool>get_caption(" + "9" * 1_000_000 + ")</tool>",
        "<tool>get_caption(" + "-" * 19_000 + "1)</tool>", "<tool>" + "a" * 1_000_000 + "</tool>",
        "<tool>get_caption('" + "\\" * 19_000 + "')</tool>", "<tool>get_caption((1,3))</tool>" * 30_000,
    ],
    ids=range(10),
)  # fmt: skip
def test_hostile_texts_are_scored(text: str) -> None:
    """In time linear in their length: a pattern that backtracks would take hours."""
    assert official_score(text, "B", [[200, 300]], 6, 3600.0)["answer_reward"] == 0
