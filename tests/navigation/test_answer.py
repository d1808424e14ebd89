import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from navigation import LETTERS, Status, read_answer, read_outcome

READ = {
    "<answer>B</answer>": "B", "<answer> (b) </answer>": "B", "<answer>\nB.\n</answer>": "B",
    "<answer>B. a red car</answer>": "B", "<answer>Option B</answer>": "B", "<ANSWER>b</ANSWER>": "B",
    "<answer>A</answer> no: <answer>B</answer>": "B", "<answer>A <answer>B</answer>": "B",
    "It is clear. <answer>[B]</answer>": "B", "<think>It is A.</think><answer>B</answer>": "B",
    "<think><answer>A</answer></think>\n\n<answer>B</answer>": "B", "B": "B", "(B)": "B", "b.": "B", "B. text": "B",
    "B) text": "B", "option B": "B", "  [B]  ": "B", "B: text": "B", "reasons</think>\n\nB": "B",
}  # fmt: skip
NOT_READ = [
    "", " ", "A dog runs", "The answer is B", "Because", "<answer></answer>", "<answer>AB</answer>",
    "<answer>none</answer>", "<answer>E</answer>", "<answer>Z</answer>", "<answer>B", "<think>B",
    "<think><answer>B</answer>",
    "<think>a</think><think><answer>B</answer>", "<THINK>\n<answer>B</answer>", "<answer>Ｂ</answer>",
    "<answer>ſ</answer>", "<answer>7</answer>", "<answer>" + "x" * 500 + "</answer>",
    "<think><answer>B</answer></think>",
    "<think>" + "x" * 30_000 + "<answer>B</answer>",
]  # fmt: skip


@pytest.mark.parametrize(("content", "letter"), READ.items())
def test_read(content, letter):
    assert read_answer(content, 4) == letter


@pytest.mark.parametrize("content", NOT_READ)
def test_not_read(content):
    assert read_answer(content, 4) is None


pieces = st.lists(
    st.one_of(
        st.sampled_from(["<answer>", "</answer>", "<think>", "</think>", "A", "(b)", "Option C", "Z", " ", "\n", "ſ"]),
        st.text(max_size=8),
    ),
    max_size=12,
).map("".join)


@given(pieces, st.integers(2, 26))
def test_never_a_letter_outside_the_options(content, count):
    letter = read_answer(content, count)
    assert letter is None or letter in LETTERS[:count]


@given(pieces, pieces)
@example("<answer>A</answer>", "")
def test_reasoning_decides_nothing(reasoning, content):
    inside = reasoning.lower().replace("think>", "")
    rest = content.replace("think>", "")
    assert read_answer(f"<think>{inside}</think>{rest}", 4) == read_answer(rest, 4)
    assert read_answer(f"{rest}<think>{inside}", 4) is None


@given(pieces, st.sampled_from("ABCD"))
def test_the_last_tag_wins(before, letter):
    text = before.replace("think>", "") + f"<answer>{letter}</answer>"
    assert read_answer(text, 4) == letter


@pytest.mark.parametrize(
    "unit",
    [" ", "<answer>", "<answer>A", "<think>", "</think>", "( ", "option ", "\n", "<", "<answer>" + " " * 300, "A "],
)
def test_a_megabyte_is_read(unit):
    # A pattern that backtracks would not come back in an hour.
    text = unit * (1_000_000 // len(unit))
    assert read_answer(text, 4) in (None, "A")
    assert read_answer("<answer>" + text + "</answer>", 4) in (None, "A")


CALL = [{"type": "function", "function": {"name": "get_caption", "arguments": {"segment": [1]}}}]


@pytest.mark.parametrize(
    ("last", "truncated", "turns_left", "expected"),
    [
        ({"role": "assistant", "content": "<answer>B</answer>"}, False, True, (Status.ANSWERED, "B")),
        ({"role": "assistant", "content": "<answer>B</answer>"}, True, True, (Status.ANSWERED, "B")),
        ({"role": "assistant", "content": "hm"}, False, True, (Status.UNPARSABLE, None)),
        ({"role": "assistant", "content": None}, False, True, (Status.UNPARSABLE, None)),
        ({"role": "assistant", "content": [{"type": "text"}]}, False, True, (Status.UNPARSABLE, None)),
        ({"role": "assistant", "content": "hm"}, True, True, (Status.OUT_OF_TOKENS, None)),
        ({"role": "assistant", "content": "", "tool_calls": CALL}, False, False, (Status.OUT_OF_TURNS, None)),
        ({"role": "assistant", "content": "", "tool_calls": CALL}, False, True, (Status.OUT_OF_TOKENS, None)),
        ({"role": "assistant", "content": "", "tool_calls": CALL}, True, False, (Status.OUT_OF_TOKENS, None)),
        ({"role": "assistant", "content": "<answer>B</answer>", "tool_calls": CALL}, False, False,
         (Status.OUT_OF_TURNS, None)),
        ({"role": "tool", "content": "<answer>B</answer>"}, False, False, (Status.OUT_OF_TURNS, None)),
        ({"role": "user", "content": "<answer>B</answer>"}, False, True, (Status.OUT_OF_TOKENS, None)),
    ],
)  # fmt: skip
def test_outcome(last, truncated, turns_left, expected):
    assert read_outcome([{"role": "user", "content": "A"}, last], 4, truncated, turns_left) == expected
