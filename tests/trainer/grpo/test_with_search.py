"""What holds of GRPO's episodes with two tools holds with search and jump: the same tests, another environment.

The fixtures that they begin with are made anew here: a base whose tokenizer knows the tools, taught by episodes that
search.
"""

import asyncio

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from navigation import (
    SEARCH,
    EnvironmentFactory,
    Policy,
    Reply,
    TreeStore,
    answer_message,
    assistant_message,
    read_questions,
    run,
    tool_schemas,
)
from navigation.search import read_results
from navigation.tools import GET_CAPTION, TOOL_NAMES
from tests.trainer.grpo.conftest import taught
from tests.trainer.grpo.test_cached_rollout import (  # noqa: F401
    test_an_adapter_s_rollouts_equal_trl_s,
    test_greedy_rollouts_equal_trl_s_token_for_token,
    test_sampling_used_the_probabilities_that_the_loss_sees,
)
from tests.trainer.grpo.test_run import (  # noqa: F401
    test_a_run_killed_after_any_step_goes_on_to_the_same_weights,
    uninterrupted,
    whole,
)
from tests.trainer.grpo.test_shared_prompts import (  # noqa: F401
    test_a_step_learns_what_trl_s_learns,
    test_log_probabilities_entropies_and_gradients_are_trl_s,
)
from tests.trainer.grpo.test_tool_loop import TURNS, assert_equal_to_trl_s, call
from trainer.tiny_base import corpus_texts, train_tokenizer

pytestmark = pytest.mark.slow
MODEL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True, "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}  # fmt: skip


class Searching(Policy):
    """Looks one word up, which a model of a few steps can write, opens the first result and its first part, answers."""

    name = "searching"

    async def reply(self, task, messages):
        if messages[-1]["role"] != "tool":
            return Reply(assistant_message("Look it up.", calls=[(SEARCH, {"query": "shows"})]))
        found = read_results(messages[-1]["content"])
        if found and messages[-1]["name"] == SEARCH:
            return Reply(assistant_message("Read it.", calls=[(GET_CAPTION, {"segment": list(found[0])})]))
        if sum(message["role"] == "tool" for message in messages) == 2:
            part = [*messages[-2]["tool_calls"][0]["function"]["arguments"]["segment"][:2], 1]
            return Reply(assistant_message("Read on.", calls=[(GET_CAPTION, {"segment": part})]))
        return Reply(answer_message("So.", "ABCD"[len(task.question.question) % 4]))


@pytest.fixture(scope="session")
def tools():
    return TOOL_NAMES


@pytest.fixture(scope="module")
def navigator(traces, tools, tmp_path_factory):
    questions = list(read_questions(traces / "questions.jsonl"))[:64]
    environment = EnvironmentFactory(TreeStore(traces / "trees"), tools=tools)()
    played = [asyncio.run(run(Searching(), environment, question)) for question in questions]
    assert all(each.lookups and each.visits for each in played)
    texts = [*corpus_texts(traces, tools), *("\n".join(m["content"] for m in each.messages[2:]) for each in played)]
    tokenizer = train_tokenizer(texts, tools=tools)
    torch.manual_seed(0)
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), **ends, **MODEL))
    model.generation_config.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    base = tmp_path_factory.mktemp("search-base")
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    return taught(base, [each.messages for each in played], tools, tmp_path_factory.mktemp("search-navigator"))


def test_its_episodes_search(make_trainer, prompts_of):
    """Else the others would hold nothing of search."""
    trainer = make_trainer()
    rows = [trainer.train_dataset[0]] * 8
    trainer._generate(prompts_of(trainer, rows))
    assert sum(len(environment.lookups) for environment in trainer.environments) > 4


def test_its_prompts_are_those_of_every_other_stage(make_trainer, prompts_of):
    """trl lists an environment's methods by name; a prompt lists tools in one order everywhere."""
    trainer = make_trainer()
    row = trainer.train_dataset[0]
    (ids, *_), *_ = trainer._generate(prompts_of(trainer, [row] * 4))
    schemas = tool_schemas(TOOL_NAMES)
    rendered = trainer.processing_class.apply_chat_template(
        row["prompt"], tools=schemas, add_generation_prompt=True, return_dict=False
    )
    assert list(ids) == rendered


def test_lookups_side_by_side_equal_lookups_one_after_another(make_trainer, prompts_of, plain):
    both = call("search", '{"query": "person"}').replace("<|im_end|>", "\n") + call("jump", '{"time": "0:20"}')
    turns = [
        *TURNS[:3],
        call("search", '{"query": "shows a person"}'),
        call("search", '{"query": "shows", "within": [2]}'),
        call("search", '{"query": "person", "within": [99]}'),
        call("search", '{"query": ""}'),
        call("jump", '{"time": "0:30"}'),
        call("jump", '{"time": "soon"}'),
        both,
        TURNS[8],
    ]
    played = list(assert_equal_to_trl_s(make_trainer(), prompts_of, plain, turns, [4] * 10 + [1]))
    lookups = [each for done in played for _, lookups, _ in done for each in lookups]
    assert {each.tool for each in lookups} == {SEARCH, "jump"}
    assert len(lookups) > 30
