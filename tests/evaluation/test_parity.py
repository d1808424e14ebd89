"""The parity check against servers that render well, drop what they do not know, or render nothing."""

import contextlib
from itertools import pairwise

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from evaluation.parity import Parity, check_parity, choose_reasoning_field, rendered, sample_episode, turns_of
from navigation import InputError
from navigation.prompt import chat_template
from runtime import EndpointSettings
from runtime.testing.scripted_server import Raw, ScriptedServer

IDS: dict[str, int] = {}


def ids(text):
    """A token a word, numbered as they come."""
    return [IDS.setdefault(word, len(IDS)) for word in text.split(" ")]


def served(body, drop=(), template=None):
    """What a server of our template renders of a body's messages."""
    messages = [{name: value for name, value in each.items() if name not in drop} for each in body["messages"]]
    for message in messages:
        for call in message.get("tool_calls") or ():
            call.pop("id", None)
    texts, _ = render_jinja_template(
        [messages], tools=body["tools"], chat_template=template or chat_template(), add_generation_prompt=True
    )
    return texts[0]


@pytest.fixture
async def serving():
    """Starts servers with the given handlers by path; yields a function that gives the settings of one."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**handlers):
            async def answer(request):
                handler = handlers.get(request.path.strip("/").replace("/", "__"))
                if handler is None:
                    return Raw(404)
                found = handler(request.json())
                return Raw(400) if found is None else Raw(200, found)

            server = await stack.enter_async_context(ScriptedServer(answer))
            return EndpointSettings(f"{server.url}/v1", "policy")

        yield start


def tokenizer(drop=(), template=None):
    def handler(body):
        return {"tokens": ids(body["prompt"] if "prompt" in body else served(body, drop, template))}

    return {"tokenize": handler, "detokenize": lambda body: {"prompt": str(body["tokens"])}}


@pytest.mark.parametrize(
    ("drop", "field"), [(("reasoning_content",), "reasoning"), (("reasoning",), "reasoning_content")]
)
async def test_the_field_that_a_server_reads_is_found(serving, drop, field):
    found = await check_parity(await serving(**tokenizer(drop)))
    assert (found.method, found.same, found.reasoning_field) == ("tokens", True, field)


async def test_a_server_that_drops_reasoning_or_adds_a_line_differs(serving):
    found = await check_parity(await serving(**tokenizer(("reasoning", "reasoning_content"))))
    assert (found.method, found.same) == ("tokens", False)
    added = chat_template().replace("# Tools", "# Tools of the day")
    found = await check_parity(await serving(**tokenizer(template=added)))
    assert found.same is False
    with pytest.raises(InputError) as error:
        await choose_reasoning_field(await serving(**tokenizer(template=added)), "require")
    assert error.value.field == "prompts"


async def test_llama_cpp_gives_text_and_others_count(serving):
    text = {"apply-template": lambda body: {"prompt": served(body)}}
    assert (await check_parity(await serving(**text))).method == "text"
    usage = {
        "v1__chat__completions": lambda body: {"usage": {"prompt_tokens": len(ids(served(body)))}},
        "v1__completions": lambda body: {"usage": {"prompt_tokens": len(ids(body["prompt"]))}},
    }
    settings = await serving(**usage)
    assert await check_parity(settings) == Parity("", None, None, (await check_parity(settings)).detail)
    found = await check_parity(settings, ask=True)
    assert (found.method, found.same) == ("count", True)
    with pytest.raises(InputError) as error:
        await choose_reasoning_field(settings, "sometimes")
    assert error.value.field == "parity"


def test_every_turn_of_the_sample_is_rendered():
    turns = turns_of(sample_episode())
    texts = [rendered(messages) for messages in turns]
    assert len(texts) == 4
    assert all(len(later) > len(earlier) for earlier, later in pairwise(texts))
    assert {call["function"]["name"] for m in turns[-1] for call in m.get("tool_calls") or ()} == {
        "get_caption",
        "video_qa",
    }
