import ast
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longvideo_r1.literal import NotALiteral, read_literal
from longvideo_r1.score import official_grounding, tagged
from navigation import GET_CAPTION, VIDEO_QA, Visit
from rewards import official_score

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


def oracle(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except Exception:
        return NotALiteral


def ours(text: str) -> object:
    try:
        return read_literal(text)
    except NotALiteral:
        return NotALiteral


PIECES = [
    "(", ")", "[", "]", "{", "}", ",", ",", ":", " ", "\t", "\f", "\r", "#", "\\", "+", "-", ".", "...", "'", '"',
    "'''",
    "1", "2", "3", "0", "01", "00", "1_0", "1__0", "0x1F", "0b2", "0o7", "1e3", "1e999", ".5", "5.", "2j", "1e", "True",
    "None", "False", "set", "set()", "r'a\\n'", "b'\\x01\\x03'", "b'\\u1234'", "u'ü'", "f'a'", "ab", "'ab'", "'\\n'",
    "'\\x4'", "'\\N{DIGIT ONE}'", "'\\777'", "b'\\400'", "'\\q'", "１", "x", "==", "*", "(1,3)", "((1,3))", "(1,)",
    "()", "{1:2}",
    "{1,2}", "{[]}", "\xa0", "\u2028", "\0", "'a' 'b'", "'a' b'b'", "²", "ſet()",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_literals_are_read_as_python_reads_them() -> None:
    rng = random.Random(7)
    literals = 0
    for _ in range(30_000):
        text = "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 6))).strip()
        expected, found = oracle(text), ours(text)
        assert type(found) is type(expected), text
        assert repr(found) == repr(expected) if expected is not NotALiteral else found is NotALiteral, text
        literals += expected is not NotALiteral
    assert literals > 2_000


@pytest.mark.parametrize("text", ["9" * 4300, "9" * 4301, "(" * 80 + "1" + ")" * 80, "[" * 201 + "]" * 201])
def test_literals_at_the_limits_are_read_as_python_reads_them(text: str) -> None:
    assert ours(text) == oracle(text)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.integers(), inner),
    max_leaves=20,
))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_what_python_writes_is_read_back(value: object) -> None:
    assert repr(read_literal(repr(value))) == repr(value)


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
def test_hostile_texts_are_scored_in_bounded_time(text: str) -> None:
    begun = time.process_time()
    official_score(text, "B", [[200, 300]], 6, 3600.0)
    # A guard against hanging, no measure of speed: a pattern that backtracks takes hours.
    assert time.process_time() - begun < 60
