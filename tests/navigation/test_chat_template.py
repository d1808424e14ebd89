import inspect
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils import get_json_schema
from transformers.utils.chat_template_utils import render_jinja_template
from trl.chat_template_utils import is_chat_template_prefix_preserving, parse_response, qwen3_training_chat_template

from navigation import TOOLS, NavigationEnvironment, answer_message, assistant_message, without_markup
from navigation.prompt import chat_template, response_template, template_hash

END = "<|im_end|>"
words = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["", "\n", "\n\nlook\n", "</think>", "<think>\nx\n</think>\n\ny", "\n</think>\n\n", "<tool_call>", '"', "\\"]
    ),
)
arguments = st.one_of(
    st.fixed_dictionaries({"segment": st.lists(st.integers(-5, 99), max_size=3)}, optional={"query": words}),
    st.sampled_from(['{"segment": [1]}', "{}"]),
)
function = st.fixed_dictionaries({"name": st.sampled_from(["get_caption", "video_qa"]), "arguments": arguments})
# With and without the envelope: the template reads both.
call = function | st.fixed_dictionaries({"type": st.just("function"), "function": function})
assistant = st.fixed_dictionaries(
    {"role": st.just("assistant")},
    optional={
        "content": words | st.none(), "reasoning_content": words | st.none(),
        "tool_calls": st.none() | st.lists(call, max_size=3),
    },
)  # fmt: skip
other = st.fixed_dictionaries({"role": st.sampled_from(["user", "tool", "system"]), "content": words})
conversations = st.lists(assistant | other, min_size=1, max_size=7)


def render(template, messages, **options):
    rendered, spans = render_jinja_template([messages], chat_template=template, **options)
    return (rendered[0], spans[0]) if options.get("return_assistant_tokens_mask") else rendered[0]


@settings(deadline=None, max_examples=300)
@given(conversations, st.booleans(), st.booleans(), st.sampled_from([{}, {"enable_thinking": False}]))
def test_the_same_bytes_as_trl(messages, tools, prompt, thinking):
    options = {"tools": TOOLS if tools else None, "add_generation_prompt": prompt, **thinking}
    assert render(chat_template(), messages, **options) == render(qwen3_training_chat_template, messages, **options)


@settings(deadline=None)
@given(conversations)
def test_the_supervised_span_ends_with_the_end_token(messages):
    options = {"tools": TOOLS, "return_assistant_tokens_mask": True}
    text, spans = render(chat_template(), messages, **options)
    _, theirs = render(qwen3_training_chat_template, messages, **options)
    assert len(spans) == sum(message["role"] == "assistant" for message in messages)
    # The newline after the end token is written by whoever renders, never by the model.
    assert [(begin, end + 1) for begin, end in spans] == [tuple(span) for span in theirs]
    for begin, end in spans:
        assert text[:begin].endswith("<|im_start|>assistant\n")
        assert text[begin:end].startswith("<think>\n")
        assert text[begin:end].endswith(END)


@settings(deadline=None)
@given(conversations, st.lists(assistant | other, max_size=3), st.booleans())
def test_more_messages_leave_earlier_text_alone(messages, more, tools):
    options = {"tools": TOOLS if tools else None}
    # A run of tool replies is one user turn, closed when the run ends.
    if messages[-1]["role"] == "tool" and more and more[0]["role"] == "tool":
        more = more[1:]
    if messages[-1]["role"] == "tool" and more and more[0]["role"] == "tool":
        return
    before = render(chat_template(), messages, **options)
    assert render(chat_template(), messages + more, **options).startswith(before)


@settings(deadline=None)
@given(conversations, assistant)
def test_the_generation_prompt_is_a_prefix_of_the_reply(messages, reply):
    prompt = render(chat_template(), messages, tools=TOOLS, add_generation_prompt=True)
    assert render(chat_template(), [*messages, reply], tools=TOOLS).startswith(prompt)


def test_trl_finds_it_prefix_preserving(tokenizer):
    assert is_chat_template_prefix_preserving(tokenizer)


def test_tools_are_what_transformers_makes_of_the_methods():
    methods = [NavigationEnvironment.get_caption, NavigationEnvironment.video_qa]
    schemas = [get_json_schema(method) for method in methods]
    assert all(schema["function"].pop("return") == {"type": "string"} for schema in schemas)
    assert schemas == TOOLS
    # The order in which trl finds them.
    members = inspect.getmembers(NavigationEnvironment, inspect.isfunction)
    found = [name for name, _ in members if name[0] != "_" and name != "reset"]
    assert found == [tool["function"]["name"] for tool in TOOLS]


def test_a_tool_is_shown_with_what_a_server_keeps_of_it():
    messages = [{"role": "user", "content": "q"}]
    extra = [{**tool, "function": {**tool["function"], "return": {"type": "string"}, "strict": None}} for tool in TOOLS]
    assert render(chat_template(), messages, tools=extra) == render(chat_template(), messages, tools=TOOLS)


@given(words, st.booleans())
def test_reasoning_is_read_under_both_names(reasoning, prompt):
    turn = {"role": "assistant", "content": "<answer>B</answer>"}
    texts = {
        render(
            chat_template(), [{"role": "user", "content": "q"}, turn | {name: reasoning}], add_generation_prompt=prompt
        )
        for name in ("reasoning", "reasoning_content")
    }
    assert len(texts) == 1


def test_sft_and_grpo_prompts_are_the_same_bytes(store, tokenizer):
    environment = NavigationEnvironment(store)
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    for tokenize in (False, True):
        options = {"tokenize": tokenize, "add_generation_prompt": True, "return_dict": False}
        as_sft = tokenizer.apply_chat_template(messages, tools=json.loads(json.dumps(TOOLS)), **options)
        as_grpo = tokenizer.apply_chat_template(
            messages, tools=[environment.get_caption, environment.video_qa], **options
        )
        assert as_sft == as_grpo


plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(lambda text: without_markup(text).strip())
segments = st.lists(st.integers(1, 8), min_size=1, max_size=4)
calls = st.lists(
    st.tuples(st.just("get_caption"), st.fixed_dictionaries({"segment": segments}))
    | st.tuples(st.just("video_qa"), st.fixed_dictionaries({"segment": segments, "query": plain})),
    min_size=1, max_size=3,
)  # fmt: skip
replies = st.one_of(
    st.builds(lambda reasoning, made: assistant_message(reasoning, calls=made), plain, calls),
    st.builds(lambda reasoning, text, made: assistant_message(reasoning, text, made), plain, plain, calls),
    st.builds(answer_message, plain, st.sampled_from("ABCD")),
)


@settings(deadline=None, max_examples=200)
@given(reply=replies)
def test_parsing_reads_back_what_was_rendered(tokenizer, reply):
    history = [{"role": "system", "content": "s"}, {"role": "user", "content": "q <think> [1]"}]
    options = {"tools": TOOLS, "return_dict": False}
    prompt = tokenizer.apply_chat_template(history, add_generation_prompt=True, **options)
    whole = tokenizer.apply_chat_template([*history, reply], **options)
    assert whole[: len(prompt)] == prompt
    written = whole[len(prompt) :]
    newline = tokenizer("\n")["input_ids"]
    assert written[-len(newline) :] == newline
    written = written[: -len(newline)]
    assert written[-1] == tokenizer.eos_token_id
    parsed = parse_response(tokenizer, written, prefix=prompt, tools=TOOLS)
    # An empty reasoning is left out by the parser; the template writes both alike.
    assert {"reasoning_content": "", **parsed} == reply
    assert tokenizer.apply_chat_template([*history, parsed], **options) == whole


@pytest.mark.parametrize(
    "written",
    ['<think>\nx\n</think>\n\n<tool_call>\n{"name": "get_caption"', "<think>\nnever closed <answer>B</answer>",
     '<think>\n</think>\n\n<tool_call>\nnot json\n</tool_call><|im_end|>', "<|im_end|>",
     "<answer>B</answer><|im_end|>"],
)  # fmt: skip
def test_broken_output_is_read_as_something(tokenizer, written):
    ids = tokenizer(written)["input_ids"]
    message = parse_response(tokenizer, ids, prefix=tokenizer("<|im_start|>assistant\n")["input_ids"], tools=TOOLS)
    assert message["role"] == "assistant"
    assert isinstance(message["content"], str)
    assert not message.get("tool_calls")


def test_both_templates_survive_a_checkpoint(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert template_hash(again.chat_template) == template_hash(chat_template())
    assert again.response_template == response_template()


def test_the_hash_tells_templates_apart():
    assert template_hash(chat_template()) != template_hash(qwen3_training_chat_template)
    assert len(template_hash("")) == 12
