"""GRPO against a vLLM server that generates all the time: trl's `AsyncGRPOTrainer` over navigation episodes."""

import secrets
from typing import Any

import requests
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer

from navigation import EnvironmentFactory
from rewards.trl_functions import Batch
from trainer.async_rollouts import NavigationRolloutWorker
from trainer.async_server import Served
from trainer.cpu_async import prepare_for_cpu, server_takes_seeds
from trainer.durable_checkpoints import DurableCheckpoints
from trainer.episode_masks import EpisodeMasks
from trainer.grpo_checks import SERVER_ROOM, check_room, longest_prompt
from trainer.recorder import RolloutRecorder
from trainer.server_watch import ServerWatch


class AsyncNavigationTrainer(DurableCheckpoints, AsyncGRPOTrainer):
    """Learns from episodes that a server plays meanwhile. A LoRA adapter reaches the server through a shared folder,
    full weights over NCCL.

    Args:
        model: Folder or Hub name of what the server serves, under whatever name.
        batch: Scores the episodes.
        server_log: The server's output, whose last lines are shown when it dies.
    """

    def __init__(
        self,
        model: str,
        args: AsyncGRPOConfig,
        train_dataset: Dataset,
        processing_class: PreTrainedTokenizerBase,
        environment_factory: EnvironmentFactory,
        batch: Batch,
        masks: EpisodeMasks,
        recorder: RolloutRecorder | None,
        server_log: str | None = None,
        peft_config: Any = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        prepare_for_cpu()
        self._environment_factory = environment_factory
        self.watch = ServerWatch(args.vllm_server_base_url, server_log)
        worker = NavigationRolloutWorker(
            queue_maxsize=args.queue_maxsize, model_name=model, dataset=train_dataset, reward_funcs=[],
            processing_class=processing_class, environment_factory=environment_factory, batch=batch, masks=masks,
            recorder=recorder, seeded=server_takes_seeds(), num_generations=args.num_generations,
            vllm_server_url=args.vllm_server_base_url, max_tokens=args.max_completion_length,
            temperature=args.temperature, request_timeout=args.request_timeout,
            chat_template_kwargs=args.chat_template_kwargs,
            max_tool_calling_iterations=args.max_tool_calling_iterations,
        )  # fmt: skip
        worker.watch = self.watch
        try:
            super().__init__(
                model=model, args=args, train_dataset=train_dataset, processing_class=processing_class,
                environment_factory=environment_factory, peft_config=peft_config, rollout_worker=worker,
                callbacks=[*(callbacks or []), *([recorder] if recorder else [])],
            )  # fmt: skip
        except (requests.RequestException, TimeoutError) as error:
            raise self.watch.last_words(f"cannot be used: {error}") from error
        # Another run's adapters may be on the server, and vLLM keeps what it computed with one under its name alone.
        self._lora_name = f"clipscout-{secrets.token_hex(4)}"
        worker._loop_kwargs |= {
            "eos_token_ids": self.eos_token_ids, "max_inflight_tasks": self.args.max_inflight_tasks,
            "lora_name": self._lora_name if self._lora_sync else None,
        }  # fmt: skip

    def _fit(self, served: Served) -> None:
        """Plays by the server's name of the model and within its context."""
        longest = longest_prompt(self.train_dataset, self._environment_factory(), self.processing_class)
        check_room(*longest, self.args.max_completion_length, served.longest, SERVER_ROOM)
        self.rollout_worker._loop_kwargs |= {"model_name": served.name, "longest": served.longest}

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self.accelerator.is_main_process:
                self.vllm_client.wait_for_server_ready()
                self._fit(Served.ask(self.args.vllm_server_base_url))
                self.watch.start()
            return super()._inner_training_loop(*args, **kwargs)
        except (requests.RequestException, TimeoutError) as error:
            raise self.watch.last_words(f"failed: {type(error).__name__}: {error}") from error
        except RuntimeError as error:
            # The child gives up a moment before or after the watch does: say what the watch knows.
            if self.watch.failure is not None:
                raise self.watch.last_words(self.watch.failure) from error
            raise
        finally:
            self.watch.stop()
