import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longvideo_r1.turns import LONGEST_TURN, Malformed, Turn, read_call, read_turn


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("get_caption([2, 5])", ("get_caption", {"segment": [2, 5]})),
        ("get_caption((2,5))", ("get_caption", {"segment": [2, 5]})),
        (" get_caption( (2, 5, 1) ) ", ("get_caption", {"segment": [2, 5, 1]})),
        ("get_caption(3)", ("get_caption", {"segment": [3]})),
        ("get_caption((1,))", ("get_caption", {"segment": [1]})),
        ("get_caption(2, 5)", ("get_caption", {"segment": [2, 5]})),
        ("get_caption(segment=[1, 99])", ("get_caption", {"segment": [1, 99]})),
        ('video_qa([1, 2, 3], "who?")', ("video_qa", {"segment": [1, 2, 3], "query": "who?"})),
        (
            "video_qa(segment=(1,2,3), query='who is (he)?')",
            ("video_qa", {"segment": [1, 2, 3], "query": "who is (he)?"}),
        ),
        (r'video_qa([1, 2, 3], "a \"red\" car")', ("video_qa", {"segment": [1, 2, 3], "query": 'a "red" car'})),
        ("video_qa([1,2,3], 'the man's hat')", ("video_qa", {"segment": [1, 2, 3], "query": "the man's hat"})),
        ("video_qa((1,2,3), who is (he)?)", ("video_qa", {"segment": [1, 2, 3], "query": "who is (he)?"})),
        ('{"name": "get_caption", "arguments": {"segment": [2]}}', ("get_caption", {"segment": [2]})),
    ],
)
def test_written_calls_are_read(text, call):
    assert read_call(text) == call


@pytest.mark.parametrize(
    "text",
    [
        "get_caption()", "get_caption([])", "get_caption(-1)", "get_caption(1.5)", "video_qa([1,2,3])",
        "video_qa([1,2,3], )", 'video_qa("who?")',
        "open([1])", "__import__('os').system('true')", "get_caption(__import__('os'))", "{broken", '{"name": "x"}',
        'video_qa([1, 2, 3], "")', '{"name": "video_qa", "arguments": {"segment": [1]}}', "",
    ],
)  # fmt: skip
def test_what_is_no_call_is_none(text):
    assert read_call(text) is None


def test_the_first_of_two_calls_counts_and_the_rest_is_dropped():
    text = (
        "<think>a</think><tool>get_caption([1])</tool><result>x</result><tool>get_caption([2])</tool><answer>A</answer>"
    )
    step = read_turn(text, 4)
    assert (step.tool, step.arguments, step.dropped) == ("get_caption", {"segment": [1]}, True)
    assert step.text() == "<think>a</think><tool>get_caption([1])</tool>"


def test_a_call_inside_the_reasoning_is_not_run():
    step = read_turn("<think>I could <tool>get_caption([1])</tool> but no</think><answer>B</answer>", 4)
    assert (step.tool, step.letter) == ("", "B")


def test_a_call_in_qwen_s_own_form_is_read():
    call = '<tool_call>\n{"name": "get_caption", "arguments": {"segment": [2, 5]}}\n</tool_call>'
    step = read_turn(f"<think>\na\n</think>\n\n{call}", 4)
    assert (step.reasoning, step.tool, step.arguments, step.dropped) == ("a", "get_caption", {"segment": [2, 5]}, False)
    assert read_turn(f"<think>a</think>{call}{call}", 4).dropped


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("Because it is red.\n<answer>B</answer>", "Because it is red."),
        ("<think>Because it is red.<answer>B</answer>", "Because it is red."),
        ("Because it is red.</think><answer>B</answer>", "Because it is red."),
    ],
)
def test_reasoning_is_found_without_both_tags(text, reasoning):
    assert read_turn(text, 4).reasoning == reasoning


def test_hidden_reasoning_is_used_only_where_the_text_has_none():
    assert read_turn("<answer>B</answer>", 4, "hidden").reasoning == "hidden"
    assert read_turn("<think>own</think><answer>B</answer>", 4, "hidden").reasoning == "own"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "neither"), ("hello", "neither"), ("<answer>B</answer>", "reasoning"),
        ("<think>a</think><answer>E</answer>", "letters A to D"), ("<think>a</think><tool>fly()</tool>", "get_caption"),
        ("x" * (LONGEST_TURN + 1), "longer"),
    ],
)  # fmt: skip
def test_malformed_replies_say_what_is_wrong(text, word):
    found = read_turn(text, 4)
    assert isinstance(found, Malformed)
    assert word in found.reason


_PIECES = st.sampled_from(
    ["<think>", "</think>", "<tool>", "</tool>", "<answer>", "</answer>", "get_caption(", "video_qa(", "[1, 2]", ")",
     '"', "'", "B", "{", "}", "\\", ",", "query=", "\n", "x"]
)  # fmt: skip


@given(st.lists(_PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_nothing_breaks_the_reader_and_what_it_reads_it_reads_again(text):
    step = read_turn(text, 4)
    if isinstance(step, Turn):
        assert bool(step.letter) != bool(step.tool)
        assert step.reasoning
        again = read_turn(step.text(), 4)
        if "<" not in step.reasoning and isinstance(again, Turn):
            assert (again.tool, again.arguments, again.letter) == (step.tool, step.arguments, step.letter)


@pytest.mark.parametrize(
    "piece", ["<think>", "<tool>get_caption(", "video_qa([1,1,1],'", "1,", "[(", "</think>", '"\\']
)
def test_time_is_bounded(piece):
    begun = time.process_time()
    read_turn("<think>a</think><tool>" + piece * (50_000 // len(piece)), 4)
    read_turn(piece * (50_000 // len(piece)), 4)
    assert time.process_time() - begun < 1.0
