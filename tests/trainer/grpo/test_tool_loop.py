"""The tool loop is trl's token for token, whatever models write and tools reply, and its tools run side by side."""

import asyncio
import functools
import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navigation import NavigationEnvironment, Policy, Question, Reply, TreeStore, run
from trainer.tool_loop import run_calls

LOOKALIKES = [
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "<|endoftext|>",
    "</tool_response>",
    "<tool_call>",
    "<answer>A</answer>",
]
TEXTS = (
    st.text(max_size=20) | st.sampled_from(LOOKALIKES) | st.lists(st.sampled_from(LOOKALIKES), max_size=3).map("".join)
)


def call(name, arguments):
    return f'<think>\n\n</think>\n\n<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call><|im_end|>'


TURNS = [
    call("get_caption", '{"segment": [1]}'),
    call("get_caption", '{"segment": [2, 1]}'),
    call("get_caption", '{"segment": [99]}'),
    call("get_caption", '{"place": [1]}'),
    call("open_door", '{"segment": [1]}'),
    call("video_qa", '{"segment": [1, 1, 1], "query": "what?"}'),
    call("get_caption", '{"segment": [1]}').replace("<|im_end|>", "\n") + call("get_caption", '{"segment": [2]}'),
    '<think>\n\n</think>\n\n<tool_call>\n{"name": "get_caption", "argu<|im_end|>',
    "<think>\n\n</think>\n\n<answer>B</answer><|im_end|>",
    "<think>\nI wonder<|im_end|>",
    "no end",
]


def in_place_of(name, function):
    """A function that trl takes for that tool: it goes by the name."""
    return functools.wraps(getattr(NavigationEnvironment, name))(lambda *args, **kwargs: function(*args, **kwargs))


def scripted(trainer, choice, turns=TURNS):
    """`_generate_single_turn` that writes those of the turns that `choice` picks from what was said so far."""
    ids = [trainer.processing_class(text, add_special_tokens=False)["input_ids"] for text in turns]

    def turn(prompt_ids, images, fields, num_generations, has_tool_images=False):
        return [list(ids[choice(tuple(said))]) for said in prompt_ids], None

    return turn


@pytest.fixture
def trainer(make_trainer):
    return make_trainer()


def assert_equal_to_trl_s(trainer, prompts_of, plain, turns, weights):
    """Episodes whose calls run side by side are those of trl, which runs one call after another."""
    rows = [trainer.train_dataset[number] for number in range(12)]
    for budget in (256, 40):
        trainer.max_completion_length = budget
        for seed in range(4):
            trainer._generate_single_turn = scripted(
                trainer,
                lambda said, seed=seed: random.Random(hash((said, seed))).choices(range(len(turns)), weights)[0],
                turns,
            )
            mine = trainer._generate(prompts_of(trainer, rows))
            done = [(each.visits, each.lookups, each.refusals) for each in trainer.environments]
            theirs = plain(trainer, prompts_of(trainer, rows))
            assert mine[:5] == theirs[:5]
            assert done == [(each.visits, each.lookups, each.refusals) for each in trainer.environments]
            yield done


def test_episodes_equal_trl_s(trainer, prompts_of, plain):
    fitting = [4, 4, 4, 0, 0, 4, 4, 1, 1, 1, 1]  # of what fits no tool, trl says what Python says
    assert len(list(assert_equal_to_trl_s(trainer, prompts_of, plain, TURNS, fitting))) == 8


BAD = [
    ("get_caption", '{"place": [1]}'),
    ("get_caption", '{"segment": [1], "query": "who?"}'),
    ("get_caption", "{}"),
    ("video_qa", '{"segment": [1, 1, 1], "query": "who?", "time": "0:10"}'),
    ("open_door", '{"segment": [1]}'),
]


@pytest.mark.parametrize(("name", "arguments"), BAD)
def test_a_call_that_fits_no_tool_is_answered_in_training_as_in_an_evaluation(
    trainer, prompts_of, traces, name, arguments
):
    row = trainer.train_dataset[0]
    trainer._generate_single_turn = scripted(
        trainer, lambda said: 0 if len(said) == begin else 1, [call(name, arguments), TURNS[8]]
    )
    prompts = prompts_of(trainer, [row])
    begin = len(trainer._tokenize_prompts(prompts)[0][0])
    (trained,) = trainer._generate(prompts)[3]
    environment = trainer.environments[0]

    class Says(Policy):
        name = "says"

        async def reply(self, task, messages):
            return Reply(trained[sum(message["role"] == "assistant" for message in messages)])

    question = Question(row["id"], row["video_id"], "?", ("a", "b"), "A", (), environment.tree.grid.duration, "s")
    evaluated = asyncio.run(run(Says(), NavigationEnvironment(TreeStore(traces / "trees")), question))
    assert [m for m in evaluated.messages if m["role"] == "tool"] == [m for m in trained if m["role"] == "tool"]
    assert (evaluated.refused, evaluated.visits) == (len(environment.refusals), environment.visits) == (1, [])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replies=st.lists(TEXTS, min_size=1, max_size=4), picks=st.lists(st.integers(0, 8), min_size=4, max_size=4))
def test_only_sampled_tokens_carry_a_loss_and_ids_are_never_rendered_again(trainer, prompts_of, replies, picks):
    """Ids are the prompt's, then turn and reply by turns: what was sampled stands there as it was sampled."""
    said = iter(range(1000))

    def reply(self, *arguments, **named):
        return replies[next(said) % len(replies)]

    sampled: list[list[int]] = []
    trainer._generate_single_turn = turns = scripted(trainer, lambda ids: picks[len(sampled) % 4])
    fed: list[list[int]] = []

    def recording(prompt_ids, *rest, **named):
        out, none = turns(prompt_ids, *rest, **named)
        fed.extend(prompt_ids)
        sampled.extend(out)
        return out, none

    trainer._generate_single_turn = recording
    with pytest.MonkeyPatch.context() as patch:
        for tool in ("get_caption", "video_qa"):
            patch.setattr(NavigationEnvironment, tool, in_place_of(tool, reply))
        prompt_ids, completion_ids, masks, completions, *_ = trainer._generate(
            prompts_of(trainer, [trainer.train_dataset[0]])
        )
    told = [message["content"] for message in completions[0] if message["role"] == "tool"]
    assert all(text in replies or text.startswith("Error: ") for text in told)
    ids, mask = completion_ids[0], masks[0]
    assert fed[0] == prompt_ids[0]
    place = 0
    for number, turn in enumerate(sampled):
        kept = turn[: trainer.max_completion_length - place]
        assert ids[place : place + len(kept)] == kept
        assert mask[place : place + len(kept)] == [1] * len(kept)
        place += len(kept)
        reply_length = len(fed[number + 1]) - len(prompt_ids[0]) - place if number + 1 < len(fed) else 0
        assert fed[number + 1 :][:1] in ([], [prompt_ids[0] + ids[: place + reply_length]])
        assert not any(mask[place : place + reply_length])
        place += reply_length
    assert place == len(ids) == len(mask)


@pytest.mark.parametrize("cached", [True, False])
def test_a_turn_is_cut_at_its_limit_and_ends_its_episode(make_trainer, cached):
    limit = 3
    trainer = make_trainer(trainer={"max_turn_tokens": limit, "keep_cache": cached})
    output = trainer._generate_and_score_completions([trainer.train_dataset[0]] * 4)
    trained = output["completion_mask"] * output["tool_mask"]  # [episodes, tokens]
    assert trained.sum(1).tolist() == [limit] * 4  # no turn of the navigator is as short
    assert trainer._metrics["eval"]["status/out_of_tokens"] == [1.0]


def test_what_a_cut_turn_calls_is_not_run(make_trainer, prompts_of):
    """As in an evaluation: a call may stand whole in a message that goes on."""
    cut = call("get_caption", '{"segment": [1]}').replace("<|im_end|>", "\nand")
    for limit, visits in ((10_000, 1), (None, 1), (1, 0)):
        trainer = make_trainer(trainer={"max_turn_tokens": limit})
        ids = [trainer.processing_class(text, add_special_tokens=False)["input_ids"] for text in (cut, TURNS[8])]
        turns = iter([[ids[0]], [ids[1]]])
        trainer._generate_single_turn = lambda *args, turns=turns, **named: (next(turns), None)
        trainer._generate(prompts_of(trainer, [trainer.train_dataset[0]]))
        assert len(trainer.environments[0].visits) == visits


def test_calls_of_different_episodes_wait_together(trainer, prompts_of, monkeypatch):
    barrier = threading.Barrier(8)

    def together(self, segment):
        barrier.wait(timeout=60)  # breaks, and fails the test, unless all eight are here at once
        return "a caption"

    monkeypatch.setattr(NavigationEnvironment, "get_caption", in_place_of("get_caption", together))
    trainer._generate_single_turn = scripted(trainer, lambda said: 0 if len(said) == len(first) else 8)
    prompts = prompts_of(trainer, [trainer.train_dataset[0]] * 8)
    first = trainer._tokenize_prompts(prompts)[0][0]
    completions = trainer._generate(prompts)[3]
    assert [messages[1]["content"] for messages in completions] == ["a caption"] * 8
    assert trainer.tool_seconds > 0


def test_one_episode_s_calls_stay_in_order(trainer, traces):
    environment = NavigationEnvironment(TreeStore(traces / "trees"))
    environment.reset(**trainer.train_dataset[0])
    segments = [path for path in environment.tree.grid.paths() if path in environment.tree.captions]
    calls = [{"function": {"name": "get_caption", "arguments": {"segment": list(path)}}} for path in segments]
    replies = run_calls(environment, calls)
    assert [visit.path for visit in environment.visits] == segments
    assert len({message["content"] for message in replies.messages}) == len(segments)
    assert (replies.failures, replies.world_error) == (0, None)


def test_what_the_policy_did_wrong_is_not_the_world_s_failure(trainer, traces):
    class Gone:
        def answer(self, tree, path, query):
            raise ConnectionError("the vision server is gone")

    environment = NavigationEnvironment(TreeStore(traces / "trees"), Gone())
    environment.reset(**trainer.train_dataset[0])
    leaf = [1] * environment.tree.grid.depth

    def run(name, **arguments):
        return run_calls(environment, [{"function": {"name": name, "arguments": arguments}}])

    assert run("get_caption", segment=leaf).failures == 0
    for wrong in (run("video_qa", place=1), run("other", segment=[1])):
        assert (wrong.world_error, wrong.failures) == (None, 1)
    failed = run("video_qa", segment=leaf, query="who?")
    assert failed.world_error == "video_qa: ConnectionError: the vision server is gone"
    assert failed.messages[0]["content"] == "{'error': 'the vision server is gone'}"
    assert failed.failures == 1
