"""trl's `SFTTrainer` for trajectories: whole checkpoints, navigation beside the loss, and errors that say what to
do."""

from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch.utils.data import Sampler
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTTrainer

from trainer.checkpoint import latest_checkpoint
from trainer.durable_checkpoints import DurableCheckpoints
from trainer.navigation_evaluation import NavigationEvaluation
from trainer.sample_order import Orders, RowOrder
from trainer.stopping import TrainingFailed


class TrajectoryTrainer(DurableCheckpoints, SFTTrainer):
    """`SFTTrainer` over rows of `input_ids` and `labels`.

    Args:
        navigation: Plays held-out questions at each evaluation; its figures are logged with the loss, and one of them
            may be `metric_for_best_model`.
        longest_first: Begin every epoch with two steps of the longest rows. The second step of all is the one that
            holds weights, gradients, optimizer states and activations at once: what fits there fits to the end.
    """

    def __init__(
        self, *args: Any, navigation: NavigationEvaluation | None = None, longest_first: bool = False, **kwargs: Any
    ) -> None:
        self.navigation, self.longest_first = navigation, longest_first
        super().__init__(*args, **kwargs)
        self.orders = self._orders()
        self.add_callback(self.orders)

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        if self.navigation is not None:
            # Here, not in `evaluate`: early stopping and the choice of the best look at what this returns.
            output.metrics.update(self.navigation.play(self, metric_key_prefix))
        return output

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
            raise TrainingFailed(self._no_number("loss", loss.item()))
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # Comes before the optimizer's step: weights that an infinite gradient would spoil are neither made nor saved.
        norm = super()._get_grad_norm(model, grad_norm)
        value = None if norm is None else float(norm)
        if value is not None and not value < float("inf"):
            raise TrainingFailed(self._no_number("gradient norm", value))
        return norm

    def _no_number(self, what: str, value: float) -> str:
        good = latest_checkpoint(self.args.output_dir)
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
