from pathlib import Path

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


ALL_ONE = r"""
**B** | __B__ | _B_ | *B* | `B` | "B" | 'B' | “B” | 「B」 | 【B】 | （B） | {B} | <B> | <b>B</b>
<strong>B</strong> | $B$ | \boxed{B}
$\boxed{B}$ | \boxed{\text{B}} | \(B\) | \[ \boxed{B} \] | \textbf{B} | \mathbf{(B)} | B。 | B．red
B、红色的车 | B！ | - B | > B
**B. a red car** | "B. a red car" | B - a red car | B – a red car | B (a red car) | **(B)** a red car
((B)) | (B). | B: | B,
Answer: B | **Answer:** B | **Answer: B** | ANSWER: **(B)** | Final answer: B | Choice B | option (B)
Answer: Option B
答案：B | 答案是（B） | 选项B | 选B
B. A red car | B, a red car | (B)A dog | B. Vitamin (C) | B. red, not (A) | B. Hepatitis A and C.
B. I, robot | B, I think
B. Tom and A. Smith | B. Written by C. Smith | B. A, C and D are friends | B. 3:00-4:00 | B. B
"""
SENTENCES = ["The answer is B", "The correct answer is: **(B)**", "My answer is B.", "So the final answer is option B"]
SEVERAL = r"""
A, B | A, B, C, D | (A) or (B) | A or B | A and B | A/B | A & B | A; B | A + B | A.B | A. B. | (A)(B)
(A), (B) | (A) and (B) | A, or B
A、B | A或B | A和B | （A）（B） | A) red or B) blue | A. red or B. blue | (A) red, (B) blue | **A** or **B**
"A" and "B" | A and/or B
\boxed{A, B} | \boxed{A} or \boxed{B} | Answer: A, B | The answer is A or B | [A, B] | ["A", "B"] | A (B)
A - B | a, b | A or B, not sure
A, B and C | Both A and B | A, E | AB | A B
"""


def forms(text):
    return [form.strip() for line in text.strip().splitlines() for form in line.split(" | ")]


@pytest.mark.parametrize("form", forms(ALL_ONE))
def test_presentation_is_no_content(form):
    assert read_answer(f"<answer>{form}</answer>", 4) == "B"
    assert read_answer(form, 4) == "B"


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_answers_inside_a_tag_only(sentence):
    assert read_answer(f"<answer>{sentence}</answer>", 4) == "B"
    assert read_answer(sentence, 4) is None


@pytest.mark.parametrize("form", [*forms(SEVERAL), "A\nB", "A. red\nB. blue", "Answer: A\nAnswer: B", "A | B"])
def test_several_letters_are_no_answer(form):
    assert read_answer(f"<answer>{form}</answer>", 4) is None
    assert read_answer(form, 4) is None


ENVELOPES = [
    "{}",
    "({})",
    "[{}]",
    "**{}**",
    '"{}"',
    "“{}”",
    "`{}`",
    "（{}）",
    r"\boxed{{{}}}",
    r"\text{{{}}}",
    " {}\n",
    "{}.",
]
PLACES = ["{}", "Answer: {}", "**Answer:** {}", "Option {}", "答案：{}", "{}。", "{}. a red car", "{}: it is red"]
LISTS = ["{} or {}", "{}, {}", "{} and {}", "{}/{}", "{} & {}", "{}; {}", "{}、{}", "{}\n{}", "{}, {} or C"]


@given(st.lists(st.sampled_from(ENVELOPES), max_size=3), st.sampled_from(PLACES), st.sampled_from("ABCDabcd"))
def test_envelopes_within_one_another_read_as_their_letter(envelopes, place, letter):
    written = letter
    for envelope in envelopes:
        written = envelope.format(written)
    assert read_answer(f"<answer>{place.format(written)}</answer>", 4) == letter.upper()


@given(
    st.sampled_from(LISTS), st.sampled_from(PLACES), st.lists(st.sampled_from(ENVELOPES[:-2]), min_size=3, max_size=3)
)
def test_two_letters_are_no_answer_however_they_are_written(joined, place, envelopes):
    first, second, both = envelopes
    written = both.format(joined.format(first.format("A"), second.format("B")))
    assert read_answer(f"<answer>{place.format(written)}</answer>", 4) is None


CASES = Path(__file__).parents[3] / "shared" / "cases" / "rows" / "answers.tsv"


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not there")
def test_the_cases():
    for line in CASES.read_text(encoding="utf-8").splitlines():
        content, _, letter = line.partition("\t")
        assert read_answer(content, 4) == (letter or None), content


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
