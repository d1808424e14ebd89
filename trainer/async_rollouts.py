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
from typing import Any, cast

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

from navigation import VIDEO_QA, NavigationEnvironment, Status
from rewards.trl_functions import COST_METRIC, Batch
from trainer.recorder import RolloutRecorder, record
from trainer.rollout_metrics import EpisodeMasks, equal_groups
from trainer.server_watch import ServerWatch
from trainer.stopping import TrainingFailed
from trainer.tool_loop import environment_of, in_prompt_order, run_calls

RETRIES = 4
"""Tries of a request: what a busy server drops is asked again for some seconds; a dead one ends the run."""

TALLY = ("clean", "realign", "fork", "transitions", "drift_tokens", "drift_max")
"""trl's count of what rendering again changed: nothing is rendered again here."""

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
        max_turn_tokens: Most tokens of one turn: an episode whose turn is cut there ends, and what it calls is not run.
    """

    _provides_rollout_reward = True

    def __init__(
        self,
        *,
        batch: Batch,
        masks: EpisodeMasks,
        recorder: RolloutRecorder | None,
        seeded: bool,
        longest: int,
        max_turn_tokens: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tools = in_prompt_order(self.tools)
        self._env_tools = {name: in_prompt_order(tools) for name, tools in self._env_tools.items()}
        self.batch, self.masks, self.recorder = batch, masks, recorder
        self.seeded, self.longest, self.max_turn_tokens = seeded, longest, max_turn_tokens
        self.endings = frozenset(self.eos_token_ids)
        self.batch.endings = self.endings if max_turn_tokens else None
        self._barren = 0
        self._judge_seconds = 0.0
        # What trl's function for a reply's tokens reads.
        self.processing_class = self._tokenizer = self.tokenizer
        self._is_vlm = False
        assert self.max_tool_calling_iterations is not None, "`grpo_checks` refuses a run without a limit"
        self.most_calling_turns = self.max_tool_calling_iterations

    async def _generate_one(
        self, prompt: list[dict[str, Any]], tool_dict: dict[str, Callable[..., Any]], tools: list, group_id: int = 0
    ) -> tuple[list[dict[str, Any]], list[int], list[TrainingSequence], int, int, Any]:
        """One episode; its tokens are one training row. The last value, trl's slot for a reward, is an `Ended`."""
        begun = time.monotonic()
        prompt_ids = self.tokenizer.apply_chat_template(
            prompt,
            tools=tools,
            add_generation_prompt=True,
            chat_template=self.chat_template,
            return_dict=False,
            **self.chat_template_kwargs,
        )
        # Of all tokens, prompt and replies included: the mask is 1 where a token was sampled.
        ids, mask, logprobs = list(prompt_ids), [0] * len(prompt_ids), [0.0] * len(prompt_ids)
        room = min(self.max_tokens, self.longest - len(prompt_ids))
        messages: list[dict[str, Any]] = []
        calls = failures = turns = 0
        world_error: str | None = None
        playing = environment_of(tool_dict)
        while (left := room - (len(ids) - len(prompt_ids))) > 0:
            most = min(left, self.max_turn_tokens or left)
            turn, turn_logprobs = await self._generate_one_turn(ids, most)
            message = parse_response(self.tokenizer, turn, prefix=ids, tools=tools)
            ids, mask, logprobs = ids + turn, mask + [1] * len(turn), logprobs + turn_logprobs
            messages.append(message)
            turns += 1
            wanted = message.get("tool_calls")
            cut = most < left and len(turn) >= most and turn[-1] not in self.endings
            if not wanted or cut or turns > self.most_calling_turns:
                break
            waiting = time.monotonic()
            replies = await asyncio.get_running_loop().run_in_executor(self._tool_pool, run_calls, playing, wanted)
            self._rates["tools/latency_s"][0] += time.monotonic() - waiting
            self._rates["tools/latency_s"][1] += 1
            calls, failures = calls + len(wanted), failures + replies.failures
            world_error = replies.world_error or world_error
            # trl's own function, of a trainer of which it reads the three attributes that the loop has too.
            suffix = GRPOTrainer._get_tool_suffix_ids(cast(GRPOTrainer, self), replies.messages)
            if len(ids) + len(suffix) - len(prompt_ids) > room:
                break
            messages.extend(replies.messages)
            ids, mask, logprobs = ids + suffix, mask + [0] * len(suffix), logprobs + [0.0] * len(suffix)
        completion = ids[len(prompt_ids) :]
        environment = copy.copy(playing)
        self._push_rollout_metrics(
            turns=turns,
            sequences=1,
            completion_ids=completion,
            tally=dict.fromkeys(TALLY, 0.0),
            loop_exhausted=turns > self.most_calling_turns,
            duration_s=time.monotonic() - begun,
        )
        sequence = TrainingSequence(ids, mask, logprobs, f"{group_id}")
        return messages, completion, [sequence], calls, failures, Ended(environment, world_error, len(prompt_ids))

    async def _generate_one_turn(self, prompt_ids: list[int], most: int | None = None) -> tuple[list[int], list[float]]:
        payload = {
            "model": self._request_model,
            "prompt": prompt_ids,
            "max_tokens": most or self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty,
            "n": 1,
            "return_token_ids": True,
            "logprobs": 0,
        }
        if self.seeded:
            payload["seed"] = random.getrandbits(63)
        output = await self._post("/v1/completions", payload, self.request_timeout, max_retries=RETRIES)
        choice = output["choices"][0]
        return choice["token_ids"], choice["logprobs"]["token_logprobs"]

    async def _score_group(self, group: RolloutGroup) -> list[RolloutSample]:
        ended = cast(list[Ended], group.rollout_rewards)  # what `_generate_one` puts into this slot of trl's
        environments = [each.environment for each in ended]
        episodes = await asyncio.to_thread(
            self.batch.episodes, group.completions, group.completions_ids, environments, group.reward_kwargs
        )
        scored = ScoredGroup.of(group, episodes, ended, self.masks)
        if self.recorder is not None:
            self.recorder.write(group.model_version, scored.records())
        # Sent on their own and not with the samples, which are the episodes that are trained on.
        figures = scored.figures()
        if (spent := self.batch.judge_seconds - self._judge_seconds) > 0:
            # Groups are judged beside each other: this is what passed since the last group was logged.
            figures["time/judge"] = (spent, 1.0)
            self._judge_seconds += spent
        self._push_metrics({**figures})
        judge = self.batch.judge
        if judge is not None and judge.stopped:
            raise NothingToLearn(
                f"the judge is asked no more: {judge.stopped}. Run the same command again: it goes on from the last "
                "checkpoint, and no verdict is paid for twice"
            )
        self._barren = self._barren + 1 if all(scored.masked) else 0
        if self._barren == BARREN:
            raise NothingToLearn(
                f"the last {BARREN} groups had no episode to learn from: of the last one's {len(ended)}, "
                + ", ".join(f"{count} {each}" for each in Status if (count := scored.statuses.count(each)))
                + (f" ({error})" if (error := next((e.world_error for e in ended if e.world_error), None)) else "")
                + ". Fix what made them so, then run the same command: it goes on from the last checkpoint."
            )
        return scored.samples()


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """The episodes of one question, each list and array in their order."""

    group: RolloutGroup
    episodes: Sequence[Any]
    """Breakdown of the reward and whether the answer is right, as `rewards.trl_functions.Batch` scores."""
    ended: Sequence[Ended]
    statuses: Sequence[Status]
    masked: Sequence[bool]
    totals: np.ndarray
    """Rewards, [episodes]; NaN where an episode does not count."""
    advantages: np.ndarray
    """[episodes]; 0 where an episode does not count."""
    spread: float
    """Standard deviation of the rewards that count."""

    @classmethod
    def of(
        cls, group: RolloutGroup, episodes: Sequence[Any], ended: Sequence[Ended], masks: EpisodeMasks
    ) -> "ScoredGroup":
        statuses = [
            Status.FAILED if end.world_error is not None else episode.breakdown.status
            for end, episode in zip(ended, episodes, strict=True)
        ]
        masked = [
            status in masks.masked or episode.unjudged for status, episode in zip(statuses, episodes, strict=True)
        ]
        rewards = [
            None if skipped else episode.breakdown.total for episode, skipped in zip(episodes, masked, strict=True)
        ]
        totals = np.array(rewards, dtype=np.float64)  # None becomes NaN
        return cls(group, episodes, ended, statuses, masked, totals, *group_advantages(totals))

    def figures(self) -> dict[str, tuple[float, float]]:
        """What is logged of the whole group, whether its episodes are trained on or not.

        Returns:
            Numerator and denominator of a mean by metric: trl sums both over all groups between two logs.
        """
        tallies = [episode.breakdown.tally for episode in self.episodes]
        sums = {
            "visits": sum(tally.visits for tally in tallies),
            "useful_visits": sum(tally.useful for tally in tallies),
            "repeats": sum(tally.wasted for tally in tallies),
            "cost": sum(tally.cost for tally in tallies),
            "refused": sum(episode.breakdown.refused for episode in self.episodes),
            "tools/call_frequency": sum(self.group.tool_call_counts),
            "masked": sum(self.masked),
            **{f"status/{each}": self.statuses.count(each) for each in Status},
        }
        figures = {name: (float(value), float(len(self.episodes))) for name, value in sums.items()}
        if judged := [episode.right for episode in self.episodes if not episode.unjudged]:
            figures["accuracy"] = (float(sum(judged)), float(len(judged)))
        if verdicts := [episode.verdict for episode in self.episodes if episode.verdict is not None]:
            figures["judge/asked"] = (float(sum(each.by == "judge" for each in verdicts)), float(len(verdicts)))
            figures["judge/unjudged"] = (float(sum(each.share is None for each in verdicts)), float(len(verdicts)))
        visits = [visit for end in self.ended for visit in end.environment.visits]
        if visits:
            figures["video_qa_share"] = (float(sum(visit.tool == VIDEO_QA for visit in visits)), float(len(visits)))
        right = [tally.cost for tally, episode in zip(tallies, self.episodes, strict=True) if episode.right]
        if right:
            figures[COST_METRIC] = (float(sum(right)), float(len(right)))
        equal = equal_groups(torch.from_numpy(self.totals), len(self.totals)).item()
        if not np.isnan(equal):
            figures["equal_groups"] = (equal, 1.0)
        return figures

    def records(self) -> list[dict[str, Any]]:
        """The episodes as lines of a rollout file."""
        group = self.group
        return [
            record(
                question={key: values[index] for key, values in group.reward_kwargs.items()},
                messages=[*group.prompts[index], *group.completions[index]],
                spoken=group.completions[index],
                environment=end.environment,
                breakdown=episode.breakdown,
                right=episode.right,
                status=self.statuses[index],
                error=end.world_error,
                step=group.model_version,
                group=f"{group.model_version}.{group.group_id}",
                sample=index,
                advantage=float(self.advantages[index]),
                masked=self.masked[index],
                prompt_tokens=end.prompt,
                completion_tokens=sum(group.completions_sequences[index][0].completion_mask),
                verdict=episode.verdict,
            )
            for index, (episode, end) in enumerate(zip(self.episodes, self.ended, strict=True))
        ]

    def samples(self) -> list[RolloutSample]:
        """The rows to train on: a masked episode would only be forwarded."""
        return [self._sample(index) for index, masked in enumerate(self.masked) if not masked]

    def _sample(self, index: int) -> RolloutSample:
        (sequence,) = self.group.completions_sequences[index]  # an episode's ids are one row
        parts = {
            f"rewards/{name}/mean": np.nan if value is None else value
            for name, value in self.episodes[index].breakdown.parts.items()
        }
        return RolloutSample(
            prompt=self.group.prompts[index],
            completion=self.group.completions[index],
            input_ids=np.asarray(sequence.input_ids, dtype=np.int64),  # [tokens], prompt and replies included
            completion_mask=np.asarray(sequence.completion_mask, dtype=np.int64),  # [tokens], 1 where sampled
            old_log_probs=np.asarray(sequence.old_log_probs, dtype=np.float32),  # [tokens], 0 where not sampled
            advantage=float(self.advantages[index]),
            model_version=self.group.model_version,
            group_id=self.group.group_id,
            metrics={"reward": float(self.totals[index]), "reward_std": self.spread, **parts},
        )


def group_advantages(totals: np.ndarray) -> tuple[np.ndarray, float]:
    """Advantages of one group as trl's asynchronous trainer has them, and the spread of its rewards.

    Args:
        totals: Rewards, [episodes]; NaN where an episode does not count.

    Returns:
        `(reward - mean) / (standard deviation + 1e-8)`, [episodes]; 0 where an episode does not count or all are equal.
    """
    counted = ~np.isnan(totals)  # [episodes]
    advantages = np.zeros(len(totals))
    equal = equal_groups(torch.from_numpy(totals), len(totals)).item()
    if equal != 0.0:  # NaN, where no episode counts, included
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
