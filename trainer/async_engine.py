"""GRPO against a vLLM server that generates all the time: trl's `AsyncGRPOTrainer` over navigation episodes."""

import secrets
from types import SimpleNamespace
from typing import Any

import requests
import torch
from datasets import Dataset
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer

from navigation import EnvironmentFactory
from rewards.trl_functions import Batch
from runtime.fetch import Unreachable
from trainer.async_rollouts import NavigationRolloutWorker
from trainer.durable_checkpoints import DurableCheckpoints
from trainer.grpo_checks import SERVER_ROOM, check_room, longest_prompt
from trainer.recorder import RolloutRecorder
from trainer.rollout_metrics import EpisodeMasks
from trainer.server_watch import Served, ServerWatch


def prepare_for_cpu() -> None:
    """Puts what runs on a CPU in the place of what does not; only without CUDA. Call it before a trainer is made.

    trl's asynchronous trainer is written for GPUs in three places: it looks up the device's peak rate by CUDA's name
    for it, it fetches a FlashAttention kernel from the Hub, and it asks for the vllm package, which the adapter path
    never calls.
    """
    if torch.cuda.is_available():
        return
    from trl.experimental.async_grpo import async_grpo_trainer, async_rollout_worker, packing

    async_grpo_trainer.get_peak_flops_per_device = lambda *arguments: None
    async_rollout_worker.is_vllm_available = lambda *arguments, **options: True
    cpu_kernels = SimpleNamespace(flash_attn_varlen_func=varlen_attention)
    vars(packing)["_flash_attn"] = lambda: cpu_kernels  # in trl a cached function of another type


def server_takes_seeds() -> bool:
    """Whether requests may carry a seed: vLLM's CPU engine dies of a seeded request whose prefill is split."""
    return torch.cuda.is_available()


def varlen_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float | None = None,
    causal: bool = True,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> torch.Tensor:
    """FlashAttention's function of this name by one masked attention.

    Args:
        query: [queries, heads, size]: segments laid end to end.
        key: [keys, key-value heads, size]: for each segment the keys it may see, the last of them its own.
        value: Like `key`.
        cu_seqlens_q: Where segments begin and end in `query`, [segments + 1].
        cu_seqlens_k: The same in `key`.

    Returns:
        [queries, heads, size].
    """
    if not causal or softcap:
        raise NotImplementedError("only causal attention without a soft cap")
    lengths_q, lengths_k = cu_seqlens_q.diff(), cu_seqlens_k.diff()  # [segments] each
    segment_q = torch.arange(len(lengths_q)).repeat_interleave(lengths_q)  # each query's segment, [queries]
    segment_k = torch.arange(len(lengths_k)).repeat_interleave(lengths_k)  # [keys]
    # Counted from the end of a segment, so that its last query sees its last key.
    to_end_q = cu_seqlens_q[1:][segment_q] - torch.arange(len(segment_q))  # [queries]
    to_end_k = cu_seqlens_k[1:][segment_k] - torch.arange(len(segment_k))  # [keys]
    distance = to_end_k - to_end_q.unsqueeze(1)  # [queries, keys]; below 0 a key comes after the query
    mask = (segment_q.unsqueeze(1) == segment_k) & (distance >= 0)  # [queries, keys]
    if window_size[0] >= 0:
        mask &= distance <= window_size[0]
    # All segments are one row for torch, [1, heads, tokens, size]: the mask keeps them apart.
    row_q, row_k, row_v = (tensor.transpose(0, 1).unsqueeze(0) for tensor in (query, key, value))
    out = scaled_dot_product_attention(row_q, row_k, row_v, attn_mask=mask, scale=softmax_scale, enable_gqa=True)
    return out[0].transpose(0, 1)  # [queries, heads, size]


class AsyncNavigationTrainer(DurableCheckpoints, AsyncGRPOTrainer):
    """Learns from episodes that a server plays meanwhile.

    A LoRA adapter reaches the server through a shared folder, full weights over NCCL.

    Args:
        model: Folder or Hub name of what the server serves, under whatever name.
        batch: Scores the episodes.
        server_log: The server's output, whose last lines are shown when it dies.
        max_turn_tokens: Most tokens of one assistant message; None: what the episode has left.
    """

    args: AsyncGRPOConfig
    processing_class: PreTrainedTokenizerBase

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
        max_turn_tokens: int | None = None,
        peft_config: Any = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        prepare_for_cpu()
        self._environment_factory = environment_factory
        self.watch = ServerWatch(args.vllm_server_base_url, server_log)
        self.worker = worker = NavigationRolloutWorker(
            queue_maxsize=args.queue_maxsize,
            model_name=model,
            dataset=train_dataset,
            reward_funcs=[],
            processing_class=processing_class,
            environment_factory=environment_factory,
            batch=batch,
            masks=masks,
            recorder=recorder,
            seeded=server_takes_seeds(),
            max_turn_tokens=max_turn_tokens,
            num_generations=args.num_generations,
            vllm_server_url=args.vllm_server_base_url,
            max_tokens=args.max_completion_length,
            temperature=args.temperature,
            request_timeout=args.request_timeout,
            chat_template_kwargs=args.chat_template_kwargs,
            max_tool_calling_iterations=args.max_tool_calling_iterations,
        )
        worker.watch = self.watch
        try:
            super().__init__(
                model=model,
                args=args,
                train_dataset=train_dataset,
                processing_class=processing_class,
                environment_factory=environment_factory,
                peft_config=peft_config,
                rollout_worker=worker,  # type: ignore[arg-type]  # trl types its queues as unions, which must match
                callbacks=[*(callbacks or []), *([recorder] if recorder else [])],
            )
        except (Unreachable, requests.RequestException, TimeoutError) as error:  # trl asks by requests
            raise self.watch.error(f"cannot be used: {error}") from error
        # Another run's adapters may be on the server, and vLLM keeps what it computed with one under its name alone.
        self._lora_name = f"clipscout-{secrets.token_hex(4)}"
        worker._loop_kwargs |= {
            "eos_token_ids": self.eos_token_ids,
            "max_inflight_tasks": self.args.max_inflight_tasks,
            "lora_name": self._lora_name if self._lora_sync else None,
        }

    def _fit(self, served: Served) -> None:
        """Plays by the server's name of the model and within its context."""
        longest = longest_prompt(self.train_dataset, self.processing_class, self._environment_factory.tools)
        check_room(*longest, self.args.max_completion_length, served.longest, SERVER_ROOM)
        self.worker._loop_kwargs |= {"model_name": served.name, "longest": served.longest}

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self.vllm_client is not None:  # the main process has one
                self.vllm_client.wait_for_server_ready()
                self._fit(Served.ask(self.args.vllm_server_base_url))
                self.watch.start()
            return super()._inner_training_loop(*args, **kwargs)
        except (Unreachable, requests.RequestException, TimeoutError) as error:
            raise self.watch.error(f"failed: {type(error).__name__}: {error}") from error
        except RuntimeError as error:
            # The child gives up a moment before or after the watch does: say what the watch knows.
            if self.watch.failure is not None:
                raise self.watch.error(self.watch.failure) from error
            raise
        finally:
            self.watch.stop()
