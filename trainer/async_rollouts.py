"""Navigation episodes for trl's asynchronous trainer: the same episode as the synchronous engine's, against a server.

trl's own loop renders the whole conversation again at every turn and fixes what comes out otherwise; it gives every
turn the budget of an episode; and its rewards see no environment. Here ids are kept and appended to, the budget is
the episode's, and an episode is scored on what its environment recorded.
"""

import asyncio
import copy
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from trl import GRPOTrainer
from trl.chat_template_utils import parse_response
from trl.experimental.async_grpo.async_rollout_worker import (
    AsyncRolloutWorker,
    RolloutGroup,
    RolloutSample,
    TrainingSequence,
    _AsyncRolloutLoop,
)

from navigation import VIDEO_QA, NavigationEnvironment, Status, visits_of
from rewards.trl_functions import COST_METRIC, Batch
from trainer.recorder import RolloutRecorder, record
from trainer.rollout_metrics import EpisodeMasks, equal_groups
from trainer.server_watch import ServerWatch
from trainer.stopping import TrainingFailed
from trainer.tool_loop import run_calls

RETRIES = 4
"""Tries of a request: what a busy server drops is asked again for some seconds; a dead one ends the run."""

BARREN = 64
"""Groups in a row without an episode to learn from after which a run ends: it would wait for a sample for ever, and no
alarm rings where no step is made."""


class NothingToLearn(RuntimeError):
    """Every episode is masked, group after group. Raised in the child, whose exceptions arrive as text."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an episode ended, beside what trl keeps of it."""

    environment: NavigationEnvironment
    """A copy from the end of the episode: the instance goes back to the pool."""
    world_error: str | None
    prompt: int
    """Tokens of the prompt."""


class NavigationRolloutLoop(_AsyncRolloutLoop):
    """Runs in the child process that trl spawns.

    Args:
        batch: Scores the episodes.
        masks: Which statuses carry no loss.
        recorder: Keeps the rollouts, under the policy version that began them.
        seeded: Whether requests carry a seed.
        longest: Tokens that the server holds, prompt and completion.
    """

    _provides_rollout_reward = True

    def __init__(
        self, *, batch: Batch, masks: EpisodeMasks, recorder: RolloutRecorder | None, seeded: bool, longest: int,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.batch, self.masks, self.recorder = batch, masks, recorder
        self.seeded, self.longest = seeded, longest
        self._barren = 0
        # What trl's function for a reply's tokens reads.
        self.processing_class = self._tokenizer = self.tokenizer
        self._is_vlm = False

    async def _generate_one(
        self, prompt: list[dict[str, Any]], tool_dict: dict[str, Callable[..., Any]], tools: list, group_id: int = 0
    ) -> tuple[list[dict[str, Any]], list[int], list[TrainingSequence], int, int, Any]:
        """One episode; its tokens are one training row. The last value, trl's slot for a reward, is an `Ended`."""
        begun = time.monotonic()
        prompt_ids = self.tokenizer.apply_chat_template(
            prompt, tools=tools, add_generation_prompt=True, chat_template=self.chat_template, return_dict=False,
            **self.chat_template_kwargs,
        )  # fmt: skip
        ids, mask, logprobs = list(prompt_ids), [0] * len(prompt_ids), [0.0] * len(prompt_ids)
        room = min(self.max_tokens, self.longest - len(prompt_ids))
        messages: list[dict[str, Any]] = []
        calls = failures = turns = 0
        world_error: str | None = None
        while (left := room - (len(ids) - len(prompt_ids))) > 0:
            turn, turn_logprobs = await self._generate_one_turn(ids, left)
            message = parse_response(self.tokenizer, turn, prefix=ids, tools=tools)
            ids, mask, logprobs = ids + turn, mask + [1] * len(turn), logprobs + turn_logprobs
            messages.append(message)
            turns += 1
            wanted = message.get("tool_calls")
            if not wanted or turns > self.max_tool_calling_iterations:
                break
            waiting = time.monotonic()
            replies = await asyncio.get_running_loop().run_in_executor(self._tool_pool, run_calls, tool_dict, wanted)
            self._rates["tools/latency_s"][0] += time.monotonic() - waiting
            self._rates["tools/latency_s"][1] += 1
            calls, failures = calls + len(wanted), failures + replies.failures
            world_error = replies.world_error or world_error
            suffix = GRPOTrainer._get_tool_suffix_ids(self, replies.messages)
            if len(ids) + len(suffix) - len(prompt_ids) > room:
                break
            messages.extend(replies.messages)
            ids, mask, logprobs = ids + suffix, mask + [0] * len(suffix), logprobs + [0.0] * len(suffix)
        completion = ids[len(prompt_ids) :]
        environment = copy.copy(next(iter(tool_dict.values())).__self__)
        self._push_rollout_metrics(
            turns=turns, sequences=1, completion_ids=completion, tally=dict.fromkeys(TALLY, 0.0),
            loop_exhausted=turns > self.max_tool_calling_iterations, duration_s=time.monotonic() - begun,
        )  # fmt: skip
        sequence = TrainingSequence(ids, mask, logprobs, f"{group_id}")
        return messages, completion, [sequence], calls, failures, Ended(environment, world_error, len(prompt_ids))

    async def _generate_one_turn(self, prompt_ids: list[int], most: int | None = None) -> tuple[list[int], list[float]]:
        payload = {
            "model": self._request_model, "prompt": prompt_ids, "max_tokens": most or self.max_tokens,
            "temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty, "n": 1, "return_token_ids": True, "logprobs": 0,
        }  # fmt: skip
        if self.seeded:
            payload["seed"] = random.getrandbits(63)
        output = await self._post("/v1/completions", payload, self.request_timeout, max_retries=RETRIES)
        choice = output["choices"][0]
        return choice["token_ids"], choice["logprobs"]["token_logprobs"]

    async def _score_group(self, group: RolloutGroup) -> list[RolloutSample]:
        ended: Sequence[Ended] = group.rollout_rewards
        environments = [each.environment for each in ended]
        scored = await asyncio.to_thread(
            self.batch.episodes, group.completions, group.completions_ids, environments, group.reward_kwargs
        )
        statuses = [
            Status.FAILED if end.world_error is not None else episode.breakdown.status
            for end, episode in zip(ended, scored, strict=True)
        ]
        masked = [status in self.masks.masked for status in statuses]
        totals = np.array([
            np.nan if skipped or episode.breakdown.total is None else episode.breakdown.total
            for episode, skipped in zip(scored, masked, strict=True)
        ])  # fmt: skip
        advantages, spread = group_advantages(totals)
        if self.recorder is not None:
            self._record(group, scored, statuses, masked, advantages, ended)
        # Sent on their own and not with the samples, which are the episodes that are trained on.
        self._push_metrics(group_figures(scored, statuses, masked, totals, group.tool_call_counts, ended))
        self._barren = self._barren + 1 if all(masked) else 0
        if self._barren == BARREN:
            raise NothingToLearn(
                f"the last {BARREN} groups had no episode to learn from: of the last one's {len(statuses)}, "
                + ", ".join(f"{statuses.count(each)} {each}" for each in Status if each in statuses)
                + (f" ({error})" if (error := next((e.world_error for e in ended if e.world_error), None)) else "")
                + ". Fix what made them so, then run the same command: it goes on from the last checkpoint."
            )
        samples = []
        for index, episode in enumerate(scored):
            (sequence,) = group.completions_sequences[index]
            if masked[index]:
                continue  # a row without a loss would only be forwarded
            parts = {
                f"rewards/{name}/mean": np.nan if value is None else value
                for name, value in episode.breakdown.parts.items()
            }
            samples.append(RolloutSample(
                prompt=group.prompts[index], completion=group.completions[index],
                input_ids=np.asarray(sequence.input_ids, dtype=np.int64),
                completion_mask=np.asarray(sequence.completion_mask, dtype=np.int64),
                old_log_probs=np.asarray(sequence.old_log_probs, dtype=np.float32),
                advantage=float(advantages[index]), model_version=group.model_version, group_id=group.group_id,
                metrics={"reward": float(totals[index]), "reward_std": spread, **parts},
            ))  # fmt: skip
        return samples

    def _record(self, group, scored, statuses, masked, advantages, ended) -> None:
        questions = [
            {key: values[index] for key, values in group.reward_kwargs.items()} for index in range(len(scored))
        ]
        self.recorder.write(group.model_version, [
            record(
                question=questions[index], messages=[*group.prompts[index], *group.completions[index]],
                spoken=group.completions[index], environment=end.environment, breakdown=episode.breakdown,
                right=episode.right, status=statuses[index], error=end.world_error, step=group.model_version,
                group=f"{group.model_version}.{group.group_id}", sample=index, advantage=float(advantages[index]),
                masked=masked[index], prompt_tokens=end.prompt,
                completion_tokens=sum(group.completions_sequences[index][0].completion_mask),
            )
            for index, (episode, end) in enumerate(zip(scored, ended, strict=True))
        ])  # fmt: skip


TALLY = ("clean", "realign", "fork", "transitions", "drift_tokens", "drift_max")
"""trl's count of what rendering again changed: nothing is rendered again here."""


def group_figures(
    scored: Sequence[Any], statuses: Sequence[Status], masked: Sequence[bool], totals: np.ndarray,
    calls: Sequence[int], ended: Sequence[Ended],
) -> dict[str, tuple[float, float]]:  # fmt: skip
    """What is logged of a whole group, whether its episodes are trained on or not.

    Returns:
        Numerator and denominator of a mean by metric: trl sums both over all groups between two logs.
    """
    size = float(len(scored))
    trajectories = [episode.breakdown.tally for episode in scored]
    visits = [visit for end in ended for visit in visits_of(end.environment)]
    sums = {
        "accuracy": sum(episode.right for episode in scored),
        "visits": sum(trajectory.visits for trajectory in trajectories),
        "useful_visits": sum(trajectory.useful for trajectory in trajectories),
        "repeats": sum(trajectory.wasted for trajectory in trajectories),
        "cost": sum(trajectory.cost for trajectory in trajectories),
        "refused": sum(episode.breakdown.refused for episode in scored),
        "tools/call_frequency": sum(calls),
        "masked": sum(masked),
        **{f"status/{each}": statuses.count(each) for each in Status},
    }
    figures = {name: (float(value), size) for name, value in sums.items()}
    if visits:
        figures["video_qa_share"] = (float(sum(visit.tool == VIDEO_QA for visit in visits)), float(len(visits)))
    right = [trajectory.cost for trajectory, episode in zip(trajectories, scored, strict=True) if episode.right]
    if right:
        figures[COST_METRIC] = (float(sum(right)), float(len(right)))
    equal = equal_groups(torch.from_numpy(totals), len(totals)).item()
    if not np.isnan(equal):
        figures["equal_groups"] = (equal, 1.0)
    return figures


def group_advantages(totals: np.ndarray) -> tuple[np.ndarray, float]:
    """Advantages of one group as trl's asynchronous trainer has them, and the spread of its rewards.

    Args:
        totals: Rewards, NaN where an episode does not count.

    Returns:
        `(reward - mean) / (standard deviation + 1e-8)`, 0 where an episode does not count or all rewards are the same.
    """
    counted = ~np.isnan(totals)
    advantages = np.zeros(len(totals))
    equal = equal_groups(torch.from_numpy(totals), len(totals)).item()
    if equal != 0.0:
        return advantages, 0.0
    spread = float(totals[counted].std())
    advantages[counted] = (totals[counted] - totals[counted].mean()) / (spread + 1e-8)
    return advantages, spread


class NavigationRolloutWorker(AsyncRolloutWorker):
    """The trainer's side of the loop: its health is the server's and its episodes' as well."""

    _loop_cls = NavigationRolloutLoop
    watch: ServerWatch | None = None

    def check_health(self, stale_after_s: float) -> None:
        if self.watch is not None:
            self.watch.check()
        try:
            super().check_health(stale_after_s)
        except RuntimeError as error:
            said = str(error.__cause__)
            if said.startswith(f"{NothingToLearn.__name__}: "):
                raise TrainingFailed(said.splitlines()[0].partition(": ")[2]) from error
            raise
