"""GRPO on any number of processes, with rollouts that do not depend on how many: each episode has its own dice.

accelerate launch … parted_run.py MODEL TRACES OUT STEPS EPISODES
"""

import json
import os
import sys
from pathlib import Path

import torch
from trl import GRPOConfig, ModelConfig

from navigation import EnvironmentFactory
from rewards import RewardMix
from rewards.trl_functions import trl_functions
from trainer.checkpoint import load_model, load_tokenizer
from trainer.data import TracesFolder
from trainer.grpo_trainer import NavigationGRPOTrainer


class OwnDice(NavigationGRPOTrainer):
    """Samples by dice that know the step, the episode's place in the whole batch, and how much it has said."""

    def _generate(self, prompts):
        self.playing = list(range(len(prompts)))
        self.turn, self.episodes = 0, len(prompts)
        return super()._generate(prompts)

    def _next_turn(self, going, *arguments):
        self.playing, self.turn = going, self.turn + 1
        return super()._next_turn(going, *arguments)

    def _sample(self, logits, rows, count):
        first = self.accelerator.process_index * self.episodes
        probabilities = torch.softmax(logits.double(), -1).cumsum(-1)
        chosen = []
        for row, line in zip(rows.tolist(), probabilities, strict=True):
            episode = self.playing[row]
            seed = ((self.state.global_step * 1000 + first + episode) * 100 + self.turn) * 1000 + count
            dice = torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            chosen.append(min(int(torch.searchsorted(line, dice)), len(line) - 1))
        return torch.tensor(chosen)


def main() -> None:
    model, traces, out, steps, episodes = (*sys.argv[1:4], *map(int, sys.argv[4:6]))
    folder, tokenizer = TracesFolder(Path(traces)), load_tokenizer(model)
    functions, weights = trl_functions(RewardMix.from_config(None), turns=5, tokens=192)
    options = GRPOConfig(
        output_dir=out, use_cpu=True, bf16=False, report_to="none", num_generations=4, max_steps=steps, seed=3,
        per_device_train_batch_size=episodes // int(os.environ.get("WORLD_SIZE", "1")), max_completion_length=192,
        max_tool_calling_iterations=4, learning_rate=1e-3, lr_scheduler_type="constant", logging_steps=1,
        disable_tqdm=True, loss_type="dr_grpo", scale_rewards="none", beta=0.0, gradient_checkpointing=False,
        save_strategy="no", reward_weights=weights, max_grad_norm=1.0,
    )  # fmt: skip
    trainer = OwnDice(
        model=load_model(ModelConfig(model_name_or_path=model, dtype="float32")), args=options,
        train_dataset=folder.rl_dataset(held=False), reward_funcs=functions, processing_class=tokenizer,
        environment_factory=EnvironmentFactory(folder.trees),
    )  # fmt: skip
    trainer.train()
    trainer.save_model(out)
    if trainer.accelerator.is_main_process:
        facts = {
            "processes": trainer.accelerator.num_processes, "kind": str(trainer.accelerator.distributed_type),
            "log": [row for row in trainer.state.log_history if "reward" in row],
        }  # fmt: skip
        (Path(out) / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
