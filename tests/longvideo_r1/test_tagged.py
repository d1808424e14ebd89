"""The released checkpoints' tagged protocol: their texts to our messages and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from longvideo_r1.tagged import read_message, tagged_template, to_tagged, write_message
from longvideo_r1.turns import read_call
from navigation import (
    LETTERS,
    CaptionTree,
    NavigationEnvironment,
    Question,
    TimeGrid,
    TreeStore,
    answer_message,
    assistant_message,
    initial_messages,
    without_markup,
)

GRID = TimeGrid(810.0, 3, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("get_caption((2,5))", ("get_caption", {"segment": [2, 5]})),
        ("get_caption((2, 5, 1))", ("get_caption", {"segment": [2, 5, 1]})),
        ("get_caption((2,5,))", ("get_caption", {"segment": [2, 5]})),
        ("get_caption([2, 5])", ("get_caption", {"segment": [2, 5]})),
        ("get_caption(2, 5)", ("get_caption", {"segment": [2, 5]})),
        ("get_caption(3)", ("get_caption", {"segment": [3]})),
        ('video_qa((2,5,1), "what is (red)?")', ("video_qa", {"segment": [2, 5, 1], "query": "what is (red)?"})),
        ("video_qa((2,5,1), 'what?')", ("video_qa", {"segment": [2, 5, 1], "query": "what?"})),
        ('video_qa((2,5,1), query="it\'s?")', ("video_qa", {"segment": [2, 5, 1], "query": "it's?"})),
        ("video_qa((2,5,1), what is red)", ("video_qa", {"segment": [2, 5, 1], "query": "what is red"})),
        ("video_qa((2,5,1))", None),
        ("get_caption((2,-5))", None),
        ("get_caption(__import__('os').system('x'))", None),
        ("get_caption((2,5)); get_caption((1,1))", None),
        ("open((2,5))", None),
        ("", None),
    ],
)
def test_calls(text, expected):
    assert read_call(text) == expected


@pytest.mark.parametrize(
    ("text", "reasoning", "content", "called"),
    [
        ("<think>a</think><answer>B</answer>", "a", "<answer>B</answer>", False),
        ("<think>\na\n</think>\n\n<tool>get_caption((2,5))</tool>", "a", "", True),
        ("a</think><answer>B</answer>", "a", "<answer>B</answer>", False),
        ("<think>a<tool>get_caption((2,5))</tool>", "a", "", True),
        ("<think><tool>get_caption((1,1))</tool> no</think><answer>C</answer>", "< tool>get_caption((1,1))< /tool> no",
         "<answer>C</answer>", False),
        ("<think>a</think><tool>get_caption((2,5))</tool><answer>B</answer>", "a", "", True),
        ("<think>a</think><tool>nonsense</tool>", "a", "<tool>nonsense", False),
        ("just words", "", "just words", False),
        ("", "", "", False),
    ],
)  # fmt: skip
def test_turns(text, reasoning, content, called):
    message = read_message(text)
    assert (message["reasoning_content"], message["content"]) == (reasoning, content)
    assert bool(message.get("tool_calls")) == called


@settings(deadline=None)
@given(st.text(max_size=200) | st.lists(st.sampled_from(
    ["<think>", "</think>", "<tool>", "</tool>", "<answer>", "B", "get_caption(", "(2,5)", ")", "video_qa", '"', ","]
), max_size=14).map("".join))  # fmt: skip
def test_whatever_is_written_is_read_as_a_message(text):
    message = read_message(text)
    assert message["role"] == "assistant"
    assert len(message.get("tool_calls", [])) <= 1


plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30).map(
    lambda text: text.replace("<", "").strip()
)
segments = st.lists(st.integers(1, 8), min_size=1, max_size=3)
turns = st.one_of(
    st.builds(answer_message, plain, st.sampled_from("ABCD")),
    st.builds(lambda why, path: assistant_message(why, calls=[("get_caption", {"segment": path})]), plain, segments),
    st.builds(
        lambda why, path, query: assistant_message(why, calls=[("video_qa", {"segment": path, "query": query})]),
        plain, segments, plain.filter(bool),
    ),
)  # fmt: skip


@settings(deadline=None)
@given(turns)
def test_writing_and_reading_are_inverse(message):
    assert read_message(write_message(message)) == message


@pytest.fixture
def trajectory(tmp_path):
    """A short episode's messages."""
    captions = {path: f"caption of {list(path)}\nsecond line" for path in GRID.paths()}
    store = TreeStore(tmp_path)
    store.save(CaptionTree("v", GRID, captions))
    environment = NavigationEnvironment(store)
    environment.reset(video_id="v")
    (_, user) = initial_messages(Question("q", "v", "What?", ("one", "two"), "A"), store["v"])
    look = assistant_message("Look.", calls=[("get_caption", {"segment": [2, 3]})])
    bad = assistant_message("Far.", calls=[("get_caption", {"segment": [9, 9]})])
    return [
        {"role": "system", "content": "ours"}, user, look,
        {"role": "tool", "name": "get_caption", "content": environment.get_caption([2, 3])}, bad,
        {"role": "tool", "name": "get_caption", "content": environment.get_caption([9, 9])},
        assistant_message("Ask.", calls=[("video_qa", {"segment": [2, 3, 1], "query": "who?"})]),
        {"role": "tool", "name": "video_qa", "content": "nobody"}, answer_message("So.", "B"),
    ]  # fmt: skip


def test_a_transcript_reads_as_the_released_code_words_it(trajectory):
    plain = to_tagged(trajectory, GRID, "width {width}")
    assert plain == [
        {"role": "system", "content": "width 3"},
        {"role": "user", "content": "What?\nA. one\nB. two\n\nThe total duration of the video is 810.0 seconds.\n"
         "High-level Caption 1 from 0.0 to 270.0:<caption> caption of [1]\nsecond line </caption>\n"
         "High-level Caption 2 from 270.0 to 540.0:<caption> caption of [2]\nsecond line </caption>\n"
         "High-level Caption 3 from 540.0 to 810.0:<caption> caption of [3]\nsecond line </caption>"},
        {"role": "assistant", "content": "<think>Look.</think><tool>get_caption((2,3))</tool>"},
        {"role": "user", "content": "Medium-level Caption from tool get_caption((2,3)). From 450.0 to 540.0:"
         "<caption> caption of [2, 3]\nsecond line </caption>"},
        {"role": "assistant", "content": "<think>Far.</think><tool>get_caption((9,9))</tool>"},
        {"role": "user", "content": trajectory[5]["content"]},
        {"role": "assistant", "content": '<think>Ask.</think><tool>video_qa((2,3,1), "who?")</tool>'},
        {"role": "user", "content": "<information>nobody</information>"},
        {"role": "assistant", "content": "<think>So.</think><answer>B</answer>"},
    ]  # fmt: skip


@given(
    st.text(max_size=30).filter(lambda text: "(A)" not in text),
    st.lists(st.text(st.characters(exclude_characters="\n"), max_size=20), min_size=2, max_size=26),
)
def test_options_have_their_letters_first_whatever_is_asked(asked, options):
    question = Question("q", "v", asked, tuple(options), "A")
    tree = CaptionTree("v", GRID, dict.fromkeys(GRID.paths(), "caption"))
    _, said = to_tagged(initial_messages(question, tree), GRID)
    lettered = "\n".join([asked, *(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))])
    assert said["content"].startswith(without_markup(lettered) + "\n\nThe total duration")


def test_the_template_keeps_every_turn_and_its_prefix(trajectory):
    plain = to_tagged(trajectory, GRID)
    whole, spans = render_jinja_template([plain], chat_template=tagged_template(), return_assistant_tokens_mask=True)
    for count in range(1, len(plain)):
        before, _ = render_jinja_template([plain[:count]], chat_template=tagged_template())
        assert whole[0].startswith(before[0])
    learned = [whole[0][begin:end] for begin, end in spans[0]]
    assert learned == [message["content"] + "<|im_end|>" for message in plain if message["role"] == "assistant"]
