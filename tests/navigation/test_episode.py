import asyncio
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navigation import (
    TOOLS,
    Limits,
    NavigationEnvironment,
    Reply,
    Status,
    Trajectory,
    Visit,
    answer_message,
    assistant_message,
    initial_messages,
    run,
)

LOOK = assistant_message("Look.", calls=[("get_caption", {"segment": [1, 2]})])


class Scripted:
    """Says what it was given, turn by turn; the last line again and again. Exceptions are raised."""

    name = "scripted"

    def __init__(self, *script):
        self.script = script

    async def reply(self, task, messages):
        turn = sum(message["role"] == "assistant" for message in messages)
        said = self.script[min(turn, len(self.script) - 1)]
        if isinstance(said, BaseException):
            raise said
        return said if isinstance(said, Reply) or not isinstance(said, dict) else Reply(said, 100, 10)


@pytest.fixture
def play(store, make_question):
    async def play(*script, limits=None, **changes):
        return await run(Scripted(*script), NavigationEnvironment(store), make_question(**changes), limits)

    return play


async def test_answered(play, make_question, store):
    trajectory = await play(LOOK, answer_message("So it is.", "B"))
    assert (trajectory.status, trajectory.prediction, trajectory.correct) == (Status.ANSWERED, "B", True)
    assert trajectory.visits == [Visit("get_caption", (1, 2))]
    assert (trajectory.turns, trajectory.prompt_tokens, trajectory.completion_tokens) == (2, 200, 20)
    assert (trajectory.id, trajectory.question_id, trajectory.video_id) == ("q#0", "q", "v")
    assert trajectory.tools == TOOLS
    assert trajectory.error is None
    assert [message["role"] for message in trajectory.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert trajectory.messages[3] == {
        "role": "tool", "name": "get_caption", "content": "0:30-1:00 [1, 2] caption of (1, 2)",
    }  # fmt: skip
    assert trajectory.messages[:2] == initial_messages(make_question(), store["v"])
    assert Trajectory.from_dict(json.loads(json.dumps(trajectory.to_dict()))) == trajectory


async def test_a_wrong_answer_is_answered(play):
    trajectory = await play(answer_message("", "C"))
    assert (trajectory.status, trajectory.prediction, trajectory.correct) == (Status.ANSWERED, "C", False)


@pytest.mark.parametrize("turns", [1, 3])
async def test_out_of_turns(play, turns):
    trajectory = await play(LOOK, limits=Limits(turns=turns))
    assert (trajectory.status, trajectory.prediction) == (Status.OUT_OF_TURNS, None)
    assert trajectory.turns == len(trajectory.visits) == turns


async def test_the_last_turn_may_answer(play):
    assert (await play(LOOK, answer_message("", "B"), limits=Limits(turns=2))).status is Status.ANSWERED


async def test_out_of_tokens_inside_a_message(play):
    trajectory = await play(LOOK, Reply({"role": "assistant", "content": "I thi"}, truncated=True))
    assert (trajectory.status, trajectory.prediction) == (Status.OUT_OF_TOKENS, None)


async def test_a_call_in_a_cut_message_is_not_run(play):
    trajectory = await play(Reply(LOOK, truncated=True), limits=Limits(turns=1))
    assert (trajectory.status, trajectory.visits) == (Status.OUT_OF_TOKENS, [])


async def test_out_of_tokens_between_messages(play):
    trajectory = await play(LOOK, limits=Limits(tokens=25))
    assert trajectory.status is Status.OUT_OF_TOKENS
    assert (trajectory.completion_tokens, trajectory.turns, len(trajectory.visits)) == (30, 3, 2)


async def test_an_answer_ends_the_budget_well(play):
    assert (await play(answer_message("", "B"), limits=Limits(tokens=1))).status is Status.ANSWERED


@pytest.mark.parametrize("content", ["I do not know.", "", None, "<answer>F</answer>", [{"type": "text"}]])
async def test_unparsable(play, content):
    trajectory = await play({"role": "assistant", "content": content})
    assert (trajectory.status, trajectory.prediction, trajectory.error) == (Status.UNPARSABLE, None, None)


@pytest.mark.parametrize("failure", [RuntimeError("gave up"), TimeoutError(), KeyError("x")])
async def test_a_policy_that_raises_has_failed(play, failure):
    trajectory = await play(LOOK, failure)
    assert (trajectory.status, trajectory.prediction, trajectory.correct) == (Status.FAILED, None, False)
    assert type(failure).__name__ in trajectory.error
    assert (trajectory.turns, len(trajectory.visits)) == (1, 1)


@pytest.mark.parametrize(
    "said",
    [None, "B", Reply(None), Reply("B"), Reply({"role": "user", "content": "B"}), Reply({"content": "B"}),
     Reply({"role": "assistant", "content": "", "tool_calls": 5})],
)  # fmt: skip
async def test_a_policy_that_returns_no_message_has_failed(play, said):
    trajectory = await play(said)
    assert (trajectory.status, trajectory.turns) == (Status.FAILED, 0)
    assert trajectory.error.startswith("TypeError: ")
    assert trajectory.messages[-1]["role"] == "user"


BAD_CALLS = [
    None, "get_caption", 5, {}, {"function": None}, {"function": "get_caption"}, {"function": {}},
    {"function": {"name": "get_caption"}}, {"function": {"name": "get_caption", "arguments": None}},
    {"function": {"name": "get_caption", "arguments": "{"}},
    {"function": {"name": "get_caption", "arguments": "[" * 10**5}},
    {"function": {"name": "get_caption", "arguments": '{"segment": [' + "9" * 5000 + "]}"}},
    {"function": {"name": "get_caption", "arguments": "[1]"}}, {"function": {"name": "get_caption", "arguments": {}}},
    {"function": {"name": "delete", "arguments": {}}}, {"function": {"name": "reset", "arguments": {"video_id": "w"}}},
    {"function": {"name": "_refuse", "arguments": {"text": "x"}}}, {"function": {"name": None, "arguments": {}}},
    {"function": {"name": "<|im_end|>" * 100, "arguments": {}}},
    {"function": {"name": ["get_caption"], "arguments": {}}},
]  # fmt: skip


@pytest.mark.parametrize("call", BAD_CALLS, ids=range(len(BAD_CALLS)))
async def test_a_bad_call_is_refused_and_the_episode_goes_on(play, call):
    message = {"role": "assistant", "content": "", "tool_calls": [call, *LOOK["tool_calls"]]}
    trajectory = await play(message, answer_message("", "B"))
    assert (trajectory.status, trajectory.refused) == (Status.ANSWERED, 1)
    assert trajectory.visits == [Visit("get_caption", (1, 2))]
    first, second = (message["content"] for message in trajectory.messages if message["role"] == "tool")
    assert first.startswith("Error: ")
    assert len(first) < 200
    assert "<|" not in first
    assert second.endswith("caption of (1, 2)")


async def test_arguments_may_be_json_text(play):
    call = {"type": "function", "function": {"name": "get_caption", "arguments": '{"segment": [1, 2]}'}}
    trajectory = await play({"role": "assistant", "content": "", "tool_calls": [call]}, answer_message("", "B"))
    assert trajectory.visits == [Visit("get_caption", (1, 2))]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
functions = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["get_caption", "video_qa"]) | json_values, "arguments": json_values}
)


@settings(deadline=None)
@given(st.lists(json_values | st.fixed_dictionaries({"function": functions}), min_size=1, max_size=3))
async def test_no_call_whatever_breaks_the_loop(store, make_question, calls):
    message = {"role": "assistant", "content": "", "tool_calls": calls}
    trajectory = await run(
        Scripted(message, answer_message("", "B")), NavigationEnvironment(store), make_question(), Limits(turns=2)
    )
    assert trajectory.status is Status.ANSWERED
    assert trajectory.refused + len(trajectory.visits) == len(calls)


async def test_samples_are_told_apart(store, make_question):
    samples = []

    class Keeps(Scripted):
        async def reply(self, task, messages):
            samples.append(task.sample)
            return await super().reply(task, messages)

    trajectory = await run(Keeps(answer_message("", "B")), NavigationEnvironment(store), make_question(), sample=3)
    assert (trajectory.id, samples) == ("q#3", [3])


async def test_cancelling_stops_and_leaves_no_record(store, make_question):
    waiting = asyncio.Event()

    class Waits:
        name = "waits"

        async def reply(self, task, messages):
            waiting.set()
            await asyncio.Event().wait()

    playing = asyncio.create_task(run(Waits(), NavigationEnvironment(store), make_question()))
    await waiting.wait()
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing


async def test_a_slow_tool_does_not_hold_up_other_episodes(store, make_question):
    asked, answered = threading.Event(), threading.Event()

    class Slow:
        def answer(self, tree, path, query):
            asked.set()
            assert answered.wait(30)
            return "done"

    leaf = {"segment": [1, 1, 1]}
    script = [
        assistant_message("", calls=[("get_caption", leaf), ("video_qa", leaf | {"query": "who?"})]),
        answer_message("", "B"),
    ]
    slow = asyncio.create_task(run(Scripted(*script), NavigationEnvironment(store, Slow()), make_question()))
    await asyncio.to_thread(asked.wait, 30)
    fast = await run(Scripted(LOOK, answer_message("", "B")), NavigationEnvironment(store), make_question())
    assert fast.status is Status.ANSWERED
    assert not slow.done()
    answered.set()
    assert (await slow).visits[-1] == Visit("video_qa", (1, 1, 1), "who?")


async def test_an_answerer_that_fails_reaches_whoever_runs_the_episode(store, make_question):
    class Breaks:
        def answer(self, tree, path, query):
            raise ConnectionError("the endpoint gave up")

    leaf = {"segment": [1, 1, 1]}
    calls = [("get_caption", leaf), ("video_qa", leaf | {"query": "who?"})]
    with pytest.raises(ConnectionError):
        await run(Scripted(assistant_message("", calls=calls)), NavigationEnvironment(store, Breaks()), make_question())
