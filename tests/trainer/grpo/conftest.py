"""A small policy that navigates, badly, and a way to make trainers for it."""

import json

import pytest
import torch
from trl import GRPOConfig, GRPOTrainer, ModelConfig

from navigation import DEFAULT_TOOLS, EnvironmentFactory, tool_schemas
from rewards import RewardMix
from rewards.trl_functions import steering_callbacks, trl_functions
from trainer.checkpoint import load_model, load_tokenizer
from trainer.data import TracesFolder
from trainer.grpo_trainer import NavigationGRPOTrainer

TURNS, TOKENS = 5, 256


@pytest.fixture(scope="session")
def navigator(base, make_navigator):
    return make_navigator(base)


@pytest.fixture(scope="session")
def tools():
    """What episodes have."""
    return DEFAULT_TOOLS


@pytest.fixture(scope="session")
def make_navigator(traces, tmp_path_factory):
    """A random base after a few steps on the expert's episodes: it calls tools, and mostly the wrong ones."""
    with open(traces / "trajectories.jsonl", encoding="utf-8") as lines:
        episodes = [json.loads(line)["messages"] for line in lines][:64]
    return lambda base: taught(base, episodes, DEFAULT_TOOLS, tmp_path_factory.mktemp("navigator"))


def taught(base, episodes, tools, folder):
    tokenizer = load_tokenizer(str(base))
    model = load_model(ModelConfig(model_name_or_path=str(base), dtype="float32"))
    schemas = tool_schemas(tools)
    rows = [
        tokenizer.apply_chat_template(episode, tools=schemas, return_dict=True, return_assistant_tokens_mask=True)
        for episode in episodes
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(0)
    for step in range(48):
        batch = [rows[(step * 4 + place) % len(rows)] for place in range(4)]
        width = max(len(row["input_ids"]) for row in batch)
        ids = torch.tensor([row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in batch])
        labels = torch.full_like(ids, -100)
        for place, row in enumerate(batch):
            mask = torch.tensor(row["assistant_masks"], dtype=torch.bool)
            labels[place, : len(mask)][mask] = ids[place, : len(mask)][mask]
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def make_trainer(navigator, traces, tmp_path, tools):
    """`make_trainer(kind, reward=…, output_dir=…, trainer={…}, **GRPOConfig options)`."""

    def make(kind=NavigationGRPOTrainer, reward=None, output_dir=None, trainer=None, model=navigator, **options):
        defaults = {
            "output_dir": str(output_dir or tmp_path / "run"), "use_cpu": True, "bf16": False, "report_to": "none",
            "gradient_checkpointing": False, "num_generations": 4, "per_device_train_batch_size": 8,
            "per_device_eval_batch_size": 8, "max_completion_length": TOKENS, "max_tool_calling_iterations": TURNS - 1,
            "max_steps": 1, "learning_rate": 1e-3, "logging_steps": 1, "disable_tqdm": True, "seed": 3,
            "loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0.0, "save_strategy": "no",
        }  # fmt: skip
        mix = RewardMix.from_config(reward)
        functions, weights = trl_functions(mix, turns=TURNS, tokens=TOKENS)
        arguments = GRPOConfig(**(defaults | options | {"reward_weights": weights}))
        folder = TracesFolder(traces, tools=tools)
        callbacks = steering_callbacks(mix)
        return kind(
            model=load_model(ModelConfig(model_name_or_path=str(model), dtype="float32")), args=arguments,
            train_dataset=folder.rl_dataset(held=False), eval_dataset=folder.rl_dataset(held=True).select(range(2)),
            reward_funcs=functions, processing_class=load_tokenizer(str(model)),
            environment_factory=EnvironmentFactory(folder.trees, tools=tools), callbacks=callbacks, **(trainer or {}),
        )  # fmt: skip

    return make


@pytest.fixture
def prompts_of():
    """`prompts_of(trainer, rows)`: what trl hands to `_generate`: environments reset, their words in place."""

    def begin(trainer, rows):
        captured = []
        trainer._generate = captured.append
        try:
            trainer._generate_and_score_completions(rows)
        except TypeError:  # what stands in the place of `_generate` returns nothing to unpack
            pass
        finally:
            del trainer._generate
        return captured[0]

    return begin


@pytest.fixture
def plain():
    """`plain(trainer, prompts)`: rollouts by trl alone, its generation and its tool loop."""

    def generate(trainer, prompts):
        kind, loop = type(trainer), type(trainer)._tool_call_loop
        trainer.keep_cache, kind._tool_call_loop = False, GRPOTrainer._tool_call_loop
        try:
            return GRPOTrainer._generate(trainer, prompts)
        finally:
            trainer.keep_cache, kind._tool_call_loop = True, loop

    return generate
