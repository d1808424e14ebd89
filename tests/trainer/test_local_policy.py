"""A checkpoint as a policy: token ids are appended to and never made anew, in either protocol."""

import asyncio
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from evaluation.run import evaluate_corpus, read_summary
from longvideo_r1.tagged import tagged_system
from navigation import EnvironmentFactory, InputError, Status, TreeStore, run
from trainer.data import TracesFolder
from trainer.local_policy import LocalPolicy

TRAJECTORIES = {
    "native": (
        '<think>\nLook.\n</think>\n\n<tool_call>\n{"name": "get_caption", "arguments": {"segment": [1, 2]}}\n'
        "</tool_call><|im_end|>",
        '<think>\nBeyond.\n</think>\n\n<tool_call>\n{"name": "get_caption", "arguments": {"segment": [99]}}\n'
        "</tool_call><|im_end|>",
        "<think>\nSo.\n</think>\n\n<answer>B</answer><|im_end|>",
    ),
    "tagged": (
        "<think>Look.</think><tool>get_caption((1,2))</tool><|im_end|>",
        "<think>Beyond.</think><tool>get_caption((99,))</tool><|im_end|>",
        "<think>So.</think><answer>B</answer><|im_end|>",
    ),
}


@pytest.fixture
def question(traces):
    return TracesFolder(traces, 0.3).questions(held=True)[0]


@pytest.fixture
def play(traces, base, question, monkeypatch):
    """Plays one question with turns that are given; returns the episode, the policy and what it was asked with."""

    def played(turns, **options):
        policy = LocalPolicy(str(base), **options)
        asked, left = [], list(turns)

        async def turn(ids, noise, first):
            asked.append(ids)
            policy.rooms = [len(noise)]
            return policy.tokenizer(left.pop(0), add_special_tokens=False)["input_ids"]

        monkeypatch.setattr(policy, "_turn", turn)
        return asyncio.run(run(policy, EnvironmentFactory(TreeStore(traces / "trees"))(), question)), policy, asked

    return played


@pytest.mark.parametrize("protocol", TRAJECTORIES)
def test_ids_are_appended_and_spell_the_conversation(play, protocol):
    episode, policy, asked = play(TRAJECTORIES[protocol], protocol=protocol)
    assert (episode.status, episode.prediction, episode.refused) == (Status.ANSWERED, "B", 1)
    assert [list(visit.path) for visit in episode.visits] == [[1, 2]]
    assert [message.get("reasoning_content") for message in episode.messages if message["role"] == "assistant"] == [
        "Look.", "Beyond.", "So."
    ]  # fmt: skip
    said = [policy.tokenizer(turn, add_special_tokens=False)["input_ids"] for turn in TRAJECTORIES[protocol]]
    for number in (1, 2):
        before = asked[number - 1] + said[number - 1]
        assert asked[number][: len(before)] == before
    text = policy.tokenizer.decode(asked[-1])
    task_messages = episode.messages[:-1]
    if protocol == "native":
        rendered = policy.tokenizer.apply_chat_template(
            task_messages, tools=episode.tools, tokenize=False, add_generation_prompt=True
        )
        assert text == rendered
    else:
        # The checkpoint reads replies as user messages and no tool schema.
        assert "<tool_call>" not in text
        assert "<tools>" not in text
        assert "<|im_start|>user\nMedium-level Caption from tool get_caption((1,2)). From" in text
        assert text.endswith("<|im_start|>assistant\n")
        assert text.count("<|im_end|>") == 6


def test_a_checkpoint_that_was_trained_on_is_another_policy(traces, base, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(base, folder)
    given = {"questions": traces / "questions.jsonl", "trees": traces / "trees", "policy": "local", "limit": 2}

    def evaluated(**options):
        return evaluate_corpus(
            **given, out=tmp_path / "eval", checkpoint=str(folder), max_completion_tokens=16, **options
        )

    first = evaluated()
    assert evaluated() == first
    assert read_summary(tmp_path / "eval" / "summary.json")["card"]["policy"]["temperature"] == 1.0
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    model.save_pretrained(folder)
    for options in ({}, {"temperature": 0.0}):
        with pytest.raises(InputError) as error:
            evaluated(**options)
        assert error.value.field == "settings"


def test_a_model_that_does_not_think_plays(play):
    call = '<tool_call>\n{"name": "get_caption", "arguments": {"segment": [1, 2]}}\n</tool_call><|im_end|>'
    for before in ("", "<think>\n\n</think>\n\n"):
        episode, _, _ = play([before + call, before + "<answer>B</answer><|im_end|>"])
        assert (episode.status, episode.prediction, episode.refused) == (Status.ANSWERED, "B", 0)
        assert [list(visit.path) for visit in episode.visits] == [[1, 2]]


def test_a_tagged_checkpoint_takes_the_system_prompt_it_was_trained_under(play, question, traces, tmp_path):
    width = TreeStore(traces / "trees")[question.video_id].grid.width
    path = tmp_path / "system.txt"
    path.write_text("Width is {width}.")
    _, policy, asked = play(TRAJECTORIES["tagged"], protocol="tagged", system_prompt=str(path))
    assert policy.tokenizer.decode(asked[0]).startswith(f"<|im_start|>system\nWidth is {width}.<|im_end|>")
    _, policy, asked = play(TRAJECTORIES["tagged"], protocol="tagged")
    assert tagged_system().replace("{width}", str(width)) in policy.tokenizer.decode(asked[0])


def test_what_cannot_be_read_ends_the_episode_as_unparsable(play):
    episode, _, _ = play(["<think>Hm.</think><tool>open the door</tool><|im_end|>"], protocol="tagged")
    assert episode.status is Status.UNPARSABLE


def test_a_turn_cut_by_the_budget_is_truncated(play):
    episode, _, _ = play(["<think>Hm. And on"], protocol="tagged")
    assert episode.status is Status.OUT_OF_TOKENS


def test_a_turn_has_a_limit_of_its_own(play):
    episode, policy, _ = play(["<think>Hm. And on"], max_turn_tokens=5)
    assert policy.rooms == [5]
    assert episode.status is Status.OUT_OF_TOKENS


def test_nothing_is_written_past_the_model_s_context(play):
    _, policy, asked = play(["<think>Hm. And on"], protocol="tagged")
    assert policy.model.config.max_position_embeddings == 2048 < 12_288
    assert policy.rooms == [2048 - len(asked[0])]
    _, policy, _ = play(["<think>Hm. And on"], protocol="tagged", max_completion_tokens=7)
    assert policy.rooms == [7]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"protocol": "xml"}, "protocol"),
        ({"temperature": -1}, "temperature"),
        ({"protocol": "tagged", "system_prompt": "/nowhere/system.txt"}, "system_prompt"),
        ({"system_prompt": "system.txt"}, "system_prompt"),
    ],
)
def test_settings_that_cannot_work_are_named(base, options, field):
    with pytest.raises(InputError) as error:
        LocalPolicy(str(base), **options)
    assert error.value.field == field
