"""The asynchronous engine plays the same episodes as the synchronous one, token for token, and scores them alike."""

import asyncio
import queue
import random
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import TrainerState
from trl.experimental.async_grpo.async_grpo_trainer import _reduce_metric
from trl.experimental.async_grpo.async_rollout_worker import RolloutGroup

from navigation import EnvironmentFactory
from rewards import RewardMix
from rewards.judge import JudgeThread
from rewards.trl_functions import Batch
from tests.rewards.scripted_judge import BAD, Raw, ScriptedJudge, fair
from trainer.alarms import Alarms
from trainer.async_rollouts import (
    BARREN,
    NavigationRolloutLoop,
    NavigationRolloutWorker,
    NothingToLearn,
    group_advantages,
)
from trainer.checkpoint import load_tokenizer
from trainer.data import TracesFolder
from trainer.recorder import RolloutRecorder, read_rollouts
from trainer.rollout_metrics import EpisodeMasks
from trainer.stopping import TrainingFailed

TURNS, TOKENS = 5, 256
CALLS = [
    '<tool_call>\n{"name": "get_caption", "arguments": {"segment": [1]}}\n</tool_call><|im_end|>',
    '<think>\n\n</think>\n\n<tool_call>\n{"name": "get_caption", "arguments": {"place": [1]}}\n</tool_call><|im_end|>',
    '<tool_call>\n{"name": "get_caption", "arguments": {"segment": [2, 1]}}\n</tool_call><|im_end|>',
    '<tool_call>\n{"name": "open_door", "arguments": {}}\n</tool_call><|im_end|>',
    "<think>\n\n</think>\n\n<answer>B</answer><|im_end|>",
    "no idea<|im_end|>",
]


@pytest.fixture
def make_loop(navigator, traces, tmp_path):
    def make(tokens=TOKENS, masks=None, recorder=None):
        folder = TracesFolder(traces)
        mix = RewardMix.from_config(None)
        value, event = SimpleNamespace(value=3), SimpleNamespace(set=lambda: None)
        return NavigationRolloutLoop(
            model_name=str(navigator), dataset=folder.rl_dataset(held=False), reward_funcs=[],
            processing_class=load_tokenizer(str(navigator)), eos_token_ids=[0], rollout_buffer=queue.Queue(),
            model_version_value=value, heartbeat_value=SimpleNamespace(value=0.0), failed_event=event,
            exception_info_queue=queue.Queue(), metrics_queue=queue.Queue(), num_generations=4,
            environment_factory=EnvironmentFactory(folder.trees), max_tokens=tokens,
            max_tool_calling_iterations=TURNS - 1, batch=Batch(mix, turns=TURNS, tokens=tokens),
            masks=masks or EpisodeMasks(), recorder=recorder, seeded=False, longest=2048,
        )  # fmt: skip

    return make


def scripted(loop, seed, keep=None):
    """`_generate_one_turn` that picks a turn by what was said so far."""
    ids = [loop.tokenizer(text, add_special_tokens=False)["input_ids"] for text in CALLS]

    async def turn(prompt_ids, most=None):
        chosen = ids[random.Random(hash((tuple(prompt_ids), seed))).choices(range(6), [4, 2, 4, 1, 2, 1])[0]][:most]
        if keep is not None:
            keep.append((list(prompt_ids), chosen))
        return list(chosen), [-1.0] * len(chosen)

    return turn


def episode(loop, row):
    environment = loop._environment_pool[None][0]
    environment.reset(**row)
    prompt = row["prompt"]
    tools = {name: getattr(environment, name) for name in ("get_caption", "video_qa")}
    result = asyncio.new_event_loop().run_until_complete(
        loop._generate_one(prompt, tool_dict=tools, tools=loop._env_tools[None])
    )
    return prompt, result


@pytest.mark.parametrize("tokens", [TOKENS, 60])
def test_episodes_equal_the_synchronous_engine_s(make_loop, make_trainer, prompts_of, tokens):
    loop, trainer = make_loop(tokens), make_trainer()
    trainer.max_completion_length = tokens
    for seed in range(6):
        row = trainer.train_dataset[seed]
        loop._generate_one_turn = scripted(loop, seed)
        one_turn = scripted(loop, seed)
        prompts = prompts_of(trainer, [row])
        begin = len(trainer._tokenize_prompts(prompts)[0][0])

        def single_turn(prompt_ids, *rest, one_turn=one_turn, begin=begin, **named):
            run = asyncio.new_event_loop().run_until_complete
            return [run(one_turn(ids, max(1, tokens - len(ids) + begin)))[0] for ids in prompt_ids], None

        trainer._generate_single_turn = single_turn
        prompt_ids, completion_ids, masks, completions, *_ = trainer._generate(prompts)
        _, (messages, ids, (sequence,), _, _, end) = episode(loop, row)
        assert sequence.input_ids[: end.prompt] == prompt_ids[0]
        assert ids == completion_ids[0]
        assert sequence.completion_mask == [0] * end.prompt + masks[0]
        assert messages == completions[0]
        assert end.environment.visits == trainer.environments[0].visits


def test_ids_are_kept_and_only_sampled_ones_are_trained(make_loop):
    loop, said = make_loop(), []
    loop._generate_one_turn = scripted(loop, 1, said)
    _, (_, completion, (sequence,), _, _, end) = episode(loop, loop.dataset[1])
    for history, _turn in said:
        assert sequence.input_ids[: len(history)] == history
    trained = [token for token, mask in zip(sequence.input_ids, sequence.completion_mask, strict=True) if mask]
    assert trained == [token for _, turn in said for token in turn]
    assert sequence.input_ids[end.prompt :] == completion
    assert [p for p, mask in zip(sequence.old_log_probs, sequence.completion_mask, strict=True) if mask] == [
        -1.0
    ] * len(trained)


def group_of(row, played):
    size = len(played)
    return RolloutGroup(
        prompts=[prompt for prompt, _ in played],
        reward_kwargs={key: [row[key]] * size for key in row if key != "prompt"},
        completions=[result[0] for _, result in played], completions_ids=[result[1] for _, result in played],
        completions_sequences=[result[2] for _, result in played],
        tool_call_counts=[result[3] for _, result in played], tool_failure_counts=[0] * size, model_version=3,
        group_id=9, env_rewards=[], rollout_rewards=[result[5] for _, result in played],
    )  # fmt: skip


def logged(loop):
    """What trl's trainer would log of all that the loop has sent it by now."""
    values = defaultdict(list)
    while not loop._metrics_queue.empty():
        for name, value in loop._metrics_queue.get().items():
            values[name].append(value)
    return {name: _reduce_metric(name, each) for name, each in values.items()}


def broken_world(loop, row):
    """An episode that reads one caption while the captions cannot be read."""
    ids = loop.tokenizer(CALLS[0], add_special_tokens=False)["input_ids"]

    async def say(prompt_ids, most=None):
        return ids, [-0.5] * len(ids)

    def fail(*arguments):
        raise OSError("captions are gone")

    loop._generate_one_turn = say
    environment = loop._environment_pool[None][0]
    environment._address = fail
    try:
        return episode(loop, row)
    finally:
        del environment._address


def test_groups_that_failed_as_a_whole_are_logged_and_ring(make_loop, tmp_path):
    loop = make_loop()
    row = loop.dataset[0]
    group = group_of(row, [broken_world(loop, row) for _ in range(4)])
    run = asyncio.new_event_loop().run_until_complete
    assert run(loop._score_group(group)) == []
    figures = logged(loop)
    assert figures["status/failed"] == figures["masked"] == 1.0
    assert "equal_groups" not in figures
    alarms = Alarms({"window": 1, "failed": {"most": 0.5}}, tmp_path)
    with pytest.raises(TrainingFailed, match="failed"):
        alarms.on_log(None, TrainerState(is_world_process_zero=True), None, logs=figures)


def test_a_run_without_anything_to_learn_from_ends_with_the_reason(make_loop):
    """Not one sample reaches the trainer then, which makes no step and would wait for ever."""
    loop = make_loop()
    row = loop.dataset[0]
    group = group_of(row, [broken_world(loop, row) for _ in range(4)])
    run = asyncio.new_event_loop().run_until_complete
    for _ in range(BARREN - 1):
        run(loop._score_group(group))
    with pytest.raises(NothingToLearn) as error:
        run(loop._score_group(group))
    worker = object.__new__(NavigationRolloutWorker)
    worker._failed_event, worker._exception_info_queue = SimpleNamespace(is_set=lambda: True), queue.Queue()
    worker._exception_info_queue.put((type(error.value).__name__, str(error.value), "Traceback …"))
    with pytest.raises(TrainingFailed, match=r"no episode to learn from: of the last one's 4, 4 failed \(.*captions"):
        worker.check_health(300.0)


def test_one_group_to_learn_from_is_enough_to_go_on(make_loop):
    loop = make_loop()
    row = loop.dataset[0]
    run = asyncio.new_event_loop().run_until_complete
    failed = group_of(row, [broken_world(loop, row) for _ in range(4)])
    loop._generate_one_turn = scripted(loop, 3)
    good = group_of(row, [episode(loop, row) for _ in range(4)])
    for _ in range(BARREN - 1):
        run(loop._score_group(failed))
    assert run(loop._score_group(good))
    run(loop._score_group(failed))


def test_a_group_is_scored_masked_and_recorded(make_loop, tmp_path):
    recorder = RolloutRecorder(tmp_path, "all")
    loop = make_loop(masks=EpisodeMasks.from_config({"unparsable": "masked"}), recorder=recorder)
    row = loop.dataset[0]
    played = []
    for text in (f"<answer>{row['answer']}</answer><|im_end|>", "no idea<|im_end|>", "<answer>Z</answer><|im_end|>"):
        ids = loop.tokenizer("<think>\n\n</think>\n\n" + text, add_special_tokens=False)["input_ids"]

        async def say(prompt_ids, most=None, ids=ids):
            return ids, [-0.5] * len(ids)

        loop._generate_one_turn = say
        played.append(episode(loop, row))
    group = group_of(row, played)
    samples = asyncio.new_event_loop().run_until_complete(loop._score_group(group))
    # "Z" is no option, so that two of three are unparsable: nothing is left to compare the right one with.
    assert len(samples) == 1
    assert samples[0].advantage == 0.0
    figures = logged(loop)
    assert figures["status/unparsable"] == figures["masked"] == pytest.approx(2 / 3)
    assert figures["accuracy"] == pytest.approx(1 / 3)
    records = read_rollouts(tmp_path)
    assert [record["masked"] for record in records] == [False, True, True]
    assert [record["step"] for record in records] == [3] * 3


def in_words(loop, said):
    """A group of episodes that answer an open question, whose reference is red."""
    row = loop.dataset[0] | {"options": [], "answer": "", "references": ["red"]}
    played = []
    for text in said:
        text = f"<think>\n\n</think>\n\n<answer>{text}</answer><|im_end|>"
        ids = loop.tokenizer(text, add_special_tokens=False)["input_ids"]

        async def say(prompt_ids, most=None, ids=ids):
            return ids, [-0.5] * len(ids)

        loop._generate_one_turn = say
        played.append(episode(loop, row))
    return group_of(row, played)


async def judged(loop, group, say, folder):
    async with ScriptedJudge(say) as server:
        loop.batch.judge = JudgeThread(server.settings(), folder / "judge.jsonl")
        return await loop._score_group(group)


def test_answers_in_words_are_judged_and_an_outage_masks_its_episode(make_loop, tmp_path):
    loop = make_loop(recorder=RolloutRecorder(tmp_path, "all"))
    group = in_words(loop, ["red", "crimson", "reddish", "blue", "lost"])
    samples = asyncio.run(judged(loop, group, lambda answer: Raw(500) if "lost" in answer else fair(answer), tmp_path))
    assert [sample.metrics["rewards/answer/mean"] for sample in samples] == [1.0, 1.0, 0.5, 0.0]
    totals = [sample.metrics["reward"] for sample in samples]
    assert [sample.advantage for sample in samples] == pytest.approx(group_advantages(np.array(totals))[0])
    figures = logged(loop)
    assert (figures["accuracy"], figures["masked"]) == (0.5, 0.2)
    assert (figures["judge/asked"], figures["judge/unjudged"]) == (0.8, 0.2)
    assert figures["time/judge"] > 0
    records = read_rollouts(tmp_path)
    assert [record["verdict"]["label"] for record in records] == ["right", "right", "partly", "wrong", "none"]
    assert [record["masked"] for record in records] == [False] * 4 + [True]
    assert records[-1]["reward"]["total"] is None


def test_a_judge_that_is_asked_no_more_ends_the_run(make_loop, tmp_path):
    loop = make_loop()
    with pytest.raises(NothingToLearn, match="no verdict is paid for twice"):
        asyncio.run(judged(loop, in_words(loop, ["crimson", "blue"]), BAD["refused"], tmp_path))


def test_advantages_of_a_group_by_hand():
    advantages, spread = group_advantages(np.array([1.0, 0.0, np.nan, 0.5]))
    assert spread == pytest.approx((1 / 6) ** 0.5)
    assert advantages == pytest.approx([0.5 / spread, -0.5 / spread, 0.0, 0.0], abs=1e-6)
    assert group_advantages(np.array([0.3, 0.1 + 0.2, 0.3]))[0].tolist() == [0.0] * 3
    assert group_advantages(np.full(3, np.nan))[0].tolist() == [0.0] * 3


def test_a_turn_that_is_cut_at_its_limit_ends_its_episode(make_loop):
    loop = make_loop()
    ids = loop.tokenizer(CALLS[0].replace("<|im_end|>", "\nand"), add_special_tokens=False)["input_ids"]
    loop.max_turn_tokens = len(ids)
    asked = []

    async def say(prompt_ids, most=None):
        asked.append(most)
        return ids, [-0.5] * len(ids)

    loop._generate_one_turn = say
    _, (messages, completion, _, calls, *_) = episode(loop, loop.dataset[0])
    assert (asked, completion, calls) == ([len(ids)], ids, 0)
    assert messages[-1]["tool_calls"]
