"""The tool loop of a rollout: calls of different episodes run at the same time."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MethodType
from typing import Any, cast

from transformers import PreTrainedModel
from trl import GRPOTrainer
from trl.chat_template_utils import parse_response

from navigation import NavigationEnvironment
from navigation.episode import call_tool, name_of
from navigation.tools import TOOL_NAMES
from trainer.cached_rollout import is_tested_trl


@dataclass(frozen=True, slots=True)
class ToolReplies:
    """What one episode's calls of one turn brought."""

    messages: list[dict[str, Any]]
    failures: int
    """Calls that were refused, or whose tool raised."""
    world_error: str | None
    """What a tool raised: the episode says nothing about the policy."""


def in_prompt_order(tools: Iterable[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """Tools as every other stage shows them: trl lists an environment's methods by name."""
    order = {name: place for place, name in enumerate(TOOL_NAMES)}
    return sorted(tools, key=lambda tool: order.get(tool.__name__, len(order)))


def run_calls(environment: NavigationEnvironment, calls: Sequence[object]) -> ToolReplies:
    """Runs one episode's calls in order. Never raises: what a tool raises is a reply, worded as trl words it."""
    messages: list[dict[str, Any]] = []
    failures, world_error = 0, None
    for call in calls:
        before = len(environment.refusals)
        try:
            content = call_tool(environment, call)
            failures += len(environment.refusals) > before
        except Exception as error:  # the world's: what the policy does wrong is refused
            failures += 1
            content = str({"error": str(error)})
            world_error = f"{name_of(call)}: {type(error).__name__}: {error}"
        messages.append({"role": "tool", "name": name_of(call), "content": content})
    return ToolReplies(messages, failures, world_error)


def environment_of(tools: Mapping[str, Callable[..., Any]]) -> NavigationEnvironment:
    """Whose methods an episode's tools are."""
    return cast(NavigationEnvironment, cast(MethodType, next(iter(tools.values()))).__self__)


class ConcurrentTools(GRPOTrainer):
    """trl 1.16.0's tool loop with the calls of different episodes side by side.

    trl calls the tools of one episode after another's, so that a batch of 192 episodes waits 192 times for a vision
    model. Here every episode's calls run in their order in a thread of their own, and one that fits no tool gets the
    reply that it gets in an evaluation (`call_tool`), where trl says what Python says. Everything else is trl's loop,
    token for token: ids are kept and appended to, never rendered again, and a reply that finds no room is taken back.
    See tests/trainer/grpo/test_tool_loop.py.

    Attributes:
        tool_threads: Most episodes whose calls run at the same time.
        max_turn_tokens: Most tokens of a turn: an episode whose turn is cut there ends, and what it calls is not run.
        world_errors: By episode of the last rollout: what its tools raised; empty when all went well.
        tool_seconds: How long the last rollout waited for tools.
    """

    model: PreTrainedModel
    max_completion_length: int
    tool_threads: int = 64
    max_turn_tokens: int | None = None
    tool_seconds: float = 0.0
    world_errors: dict[int, str]

    def _tool_call_loop(self, prompts, prompt_ids, completion_ids, completions, logprobs, images, multimodal_fields):
        """Plays all episodes of a batch to their ends, and grows the lists that it gets.

        Args:
            prompt_ids: Tokens of each prompt, [episodes][tokens]; as `completion_ids` and `logprobs` are.
            completions: Messages of each episode so far: its first turn.
            logprobs: Of the sampled tokens; None where transformers generates.

        Returns:
            1 for a sampled token and 0 for a tool's, [episodes][tokens]; messages; tokens; log-probabilities, 0 for a
            tool's tokens; calls made; calls that failed; no images of any episode.
        """
        self.world_errors = {}
        plain = images is not None or multimodal_fields or any(self._async_tool_dicts)
        if plain or not is_tested_trl("tool calls of different episodes run one after another"):
            return super()._tool_call_loop(
                prompts, prompt_ids, completion_ids, completions, logprobs, images, multimodal_fields
            )
        mask = [[1] * len(ids) for ids in completion_ids]  # so far all tokens are sampled ones
        going = [
            index
            for index, messages in enumerate(completions)
            if messages[0].get("tool_calls") and not self._is_cut(completion_ids[index])
        ]
        calls = failures = 0
        self.tool_seconds = 0.0
        with ThreadPoolExecutor(self.tool_threads, thread_name_prefix="tools") as pool:
            for _ in range(self.max_tool_calling_iterations):
                if not going:
                    break
                wanted = [completions[index][-1]["tool_calls"] for index in going]
                begun = time.perf_counter()
                replies = list(
                    pool.map(run_calls, [environment_of(self._sync_tool_dicts[index]) for index in going], wanted)
                )
                self.tool_seconds += time.perf_counter() - begun
                for index, each, reply in zip(going, wanted, replies, strict=True):
                    calls += len(each)
                    failures += reply.failures
                    if reply.world_error is not None:
                        self.world_errors[index] = reply.world_error
                suffixes = [self._get_tool_suffix_ids(reply.messages) for reply in replies]
                fitting = [
                    self._has_room(len(prompt_ids[index]), len(completion_ids[index]) + len(suffix))
                    for index, suffix in zip(going, suffixes, strict=True)
                ]
                kept = [place for place, fits in enumerate(fitting) if fits]
                going, suffixes = [going[place] for place in kept], [suffixes[place] for place in kept]
                if not going:
                    break
                for index, place in zip(going, kept, strict=True):
                    completions[index].extend(replies[place].messages)
                going = self._next_turn(going, suffixes, prompt_ids, completion_ids, completions, logprobs, mask)
        return mask, completions, completion_ids, logprobs, calls, failures, [[] for _ in completion_ids]

    def _is_cut(self, turn: list[int]) -> bool:
        most = self.max_turn_tokens
        return most is not None and len(turn) >= most and turn[-1] not in self.eos_token_ids

    def _has_room(self, prompt: int, completion: int) -> bool:
        """Whether an episode of so many tokens may have another turn."""
        if self.use_vllm and self.vllm_mode == "colocate":
            longest = self.vllm_generation.llm.llm_engine.model_config.max_model_len
        else:
            longest = cast(Any, self.model.config).max_position_embeddings  # a causal model's config has it
        return completion <= self.max_completion_length and prompt + completion < longest

    def _next_turn(
        self,
        going: list[int],
        suffixes: list[list[int]],
        prompt_ids: list[list[int]],
        completion_ids: list[list[int]],
        completions: list[list[dict[str, Any]]],
        logprobs: list[list[float]] | None,
        mask: list[list[int]],
    ) -> list[int]:
        """Appends the tools' tokens and one sampled turn to the episodes `going`; returns those that call again."""
        prefixes = [
            prompt_ids[index] + completion_ids[index] + suffix for index, suffix in zip(going, suffixes, strict=True)
        ]
        turns, turn_logprobs = self._generate_single_turn(prefixes, None, {}, num_generations=1, has_tool_images=False)
        calling = []
        for place, index in enumerate(going):
            # The budget is the episode's, of which everything after the prompt is used.
            room = self.max_completion_length - len(prefixes[place]) + len(prompt_ids[index])
            turn = turns[place][:room]
            completion_ids[index] = prefixes[place][len(prompt_ids[index]) :] + turn
            mask[index] += [0] * len(suffixes[place]) + [1] * len(turn)
            if logprobs is not None:
                logprobs[index] += [0.0] * len(suffixes[place]) + turn_logprobs[place][:room]
            if not turn:
                continue
            message = parse_response(self._tokenizer, turn, prefix=prefixes[place], tools=[*self.tools])
            completions[index].append(message)
            if message.get("tool_calls") and not self._is_cut(turn):
                calling.append(index)
        return calling
