"""The trainer of SFT, and the held-out questions that its model plays meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import torch
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedTokenizerBase, Trainer
from transformers.trainer_utils import EvalLoopOutput
from trl.models import unwrap_model_for_generation

from navigation import EnvironmentFactory, InputError, Limits, Question, Status, Trajectory, run
from rewards import RewardMix
from trainer.checkpoint import latest_checkpoint
from trainer.cpu import ReturnsFreedMemory, score_supervised_alone
from trainer.durable_checkpoints import DurableCheckpoints
from trainer.local_policy import LocalPolicy
from trainer.sample_order import Orders, RowOrder
from trainer.shared_prefix import SharedPrefix
from trainer.stopping import TrainingFailed

AT_ONCE = 64
"""Episodes that are played side by side in a process."""


class NavigationEvaluation:
    """Plays the same held-out questions at every evaluation, greedily, shared out among the processes.

    An episode can be imitated badly and still end right, and the other way round; the loss of imitation does not tell.

    Args:
        questions: Held-out questions.
        factory: Makes environments over their caption trees.
        tokenizer: The model's, with the chat template.
        turns: Most assistant messages an episode.
        tokens: Most tokens of an episode after its prompt, tool replies included.
        turn_tokens: Most tokens of one assistant message; None: what the episode has left.

    Raises:
        InputError: no question, or a question whose caption tree is missing.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        factory: EnvironmentFactory,
        tokenizer: PreTrainedTokenizerBase,
        turns: int = 15,
        tokens: int = 12288,
        turn_tokens: int | None = None,
    ) -> None:
        if not questions:
            raise InputError("config", "navigation_questions", 0, "hold out more videos, or play no questions")
        trees = factory.trees
        missing = next((question.video_id for question in questions if question.video_id not in trees), None)
        if missing is not None:
            raise InputError(trees.folder, "video_id", missing, "make its caption tree first")
        self.questions, self.factory, self.trees, self.tokenizer = list(questions), factory, trees, tokenizer
        self.limits, self.tokens, self.turn_tokens = Limits(turns=turns), tokens, turn_tokens
        self.mix = RewardMix.from_config(None)

    def play(self, trainer: Trainer, prefix: str = "eval") -> dict[str, float]:
        """Figures by name, `<prefix>_navigation_…`: the same on every process."""
        state, trained = trainer.accelerator, cast(torch.nn.Module, trainer.model)
        mine = self.questions[state.process_index :: state.num_processes]
        training = trained.training
        with unwrap_model_for_generation(trainer.model_wrapped, state) as model:
            model.eval()
            episodes = self.play_all(model, mine)
        trained.train(training)
        rows = gather_object([self._row(episode, question) for episode, question in zip(episodes, mine, strict=True)])
        grounded = [row["grounding"] for row in rows if row["grounding"] is not None]
        figures = {
            "accuracy": sum(row["correct"] for row in rows) / len(rows),
            "visits": sum(row["visits"] for row in rows) / len(rows),
            "unanswered": sum(not row["answered"] for row in rows) / len(rows),
            "questions": float(len(rows)),
        }
        if grounded:
            figures["grounding"] = sum(grounded) / len(grounded)
        return {f"{prefix}_navigation_{name}": value for name, value in figures.items()}

    def play_all(self, model: Any, questions: Sequence[Question]) -> list[Trajectory]:
        """One greedy episode for each question, in order."""
        policy = LocalPolicy.of(
            model,
            self.tokenizer,
            temperature=0.0,
            max_completion_tokens=self.tokens,
            max_turn_tokens=self.turn_tokens,
        )
        return asyncio.run(self._run_all(policy, questions))

    async def _run_all(self, policy: LocalPolicy, questions: Sequence[Question]) -> list[Trajectory]:
        episodes: dict[int, Trajectory] = {}
        jobs = iter(enumerate(questions))

        async def work() -> None:
            environment = self.factory()
            for number, question in jobs:
                episodes[number] = await run(policy, environment, question, self.limits)

        await asyncio.gather(*[work() for _ in range(min(AT_ONCE, len(questions)))])
        failed = next((episode for episode in episodes.values() if episode.status is Status.FAILED), None)
        if failed is not None:
            raise RuntimeError(f"the model failed on {failed.question_id}: {failed.error}")
        return [episodes[number] for number in range(len(questions))]

    def _row(self, episode: Trajectory, question: Question) -> dict[str, Any]:
        grid = self.trees[question.video_id].grid
        score = self.mix.score(
            question,
            grid,
            episode.visits,
            episode.status,
            episode.prediction,
            episode.refused,
            lookups=episode.lookups,
        )
        return {
            "correct": episode.correct and episode.status is Status.ANSWERED,
            "visits": len(episode.visits),
            "answered": episode.status is Status.ANSWERED,
            "grounding": score.to_dict().get("grounding"),
        }


class NavigationSFTTrainer(DurableCheckpoints, SharedPrefix):
    """trl's `SFTTrainer` over rows of `input_ids` and `labels` made of trajectories, for the navigation task.

    Checkpoints are whole, held-out questions are played beside the loss, what a step's rows begin with is run once, the
    order of rows survives a resume, and what ends a run (no memory, a loss that is NaN) says what to do.

    Args:
        navigation: Plays held-out questions at each evaluation; its figures are logged with the loss, and one of them
            may be `metric_for_best_model`.
        longest_first: Begin every epoch with two steps of the longest rows. The second step of all is the one that
            holds weights, gradients, optimizer states and activations at once: what fits there fits to the end.
    """

    train_dataset: Dataset

    def __init__(
        self, *, navigation: NavigationEvaluation | None = None, longest_first: bool = False, **kwargs: Any
    ) -> None:
        self.navigation, self.longest_first = navigation, longest_first
        super().__init__(**kwargs)
        score_supervised_alone()
        self.orders = self._orders()
        self.add_callback(self.orders)
        self.add_callback(ReturnsFreedMemory())

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        if self.navigation is None:
            return output
        # Here, not in `evaluate`: early stopping and the choice of the best look at what this returns.
        played = self.navigation.play(self, metric_key_prefix)
        return output._replace(metrics={**(output.metrics or {}), **played})

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        try:
            loss = super().training_step(*args, **kwargs)
        except torch.OutOfMemoryError as error:
            raise TrainingFailed(
                f"out of memory in step {self.state.global_step + 1}: {str(error).splitlines()[0]} "
                "Lower max_length or per_device_train_batch_size, turn on gradient_checkpointing, shard over more "
                "devices (launch/accelerate/), or train an adapter; --dry-run prints what each part takes"
            ) from error
        if not torch.isfinite(loss):
            raise TrainingFailed(self._not_finite("loss", loss.item()))
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # Comes before the optimizer's step: weights that an infinite gradient would spoil are neither made nor saved.
        norm = super()._get_grad_norm(model, grad_norm)
        value = None if norm is None else float(norm)
        if value is not None and not value < float("inf"):
            raise TrainingFailed(self._not_finite("gradient norm", value))
        return norm

    def _not_finite(self, what: str, value: float) -> str:
        good = latest_checkpoint(cast(str, self.args.output_dir))
        return (
            f"the {what} of step {self.state.global_step + 1} is {value}. Nothing of this step was saved; "
            + (f"the last good checkpoint is {good}. " if good else "no checkpoint was written yet. ")
            + "Run again with a lower learning_rate or a longer warmup, or look for a broken sample near this step"
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        # Grouped by length, transformers begins with the longest of its own accord.
        if self.args.train_sampling_strategy != "random":
            return super()._get_train_sampler(train_dataset)
        step = self.args.train_batch_size * self.args.world_size * self.args.gradient_accumulation_steps
        return RowOrder([len(ids) for ids in dataset["input_ids"]], 2 * step * self.longest_first, self.orders)

    def _orders(self) -> Orders:
        seed = self.args.data_seed
        if seed is None and not self.longest_first:
            seed = self.args.seed  # the order of `trl sft`
        return Orders(seed, lambda drawn: broadcast_object_list([drawn])[0])
