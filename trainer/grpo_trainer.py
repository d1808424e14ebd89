"""trl's `GRPOTrainer` over navigation episodes: kept caches, tools side by side, masks by status, metrics, records."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, cast

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import PreTrainedModel
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from navigation import VIDEO_QA, NavigationEnvironment, Status
from rewards import Breakdown
from rewards.answer import Verdict
from rewards.trl_functions import PartFunction
from trainer.best_policy import BestPolicy, HeldOutScore
from trainer.cached_rollout import CachedRollouts, SharedPrompts
from trainer.checkpoint import unfinished
from trainer.cpu import ReturnsFreedMemory, score_supervised_alone
from trainer.durable_checkpoints import DurableCheckpoints
from trainer.micro_batches import TidyMicroBatches
from trainer.recorder import RolloutRecorder, record
from trainer.rollout_metrics import (
    EpisodeMasks,
    accuracy_per_visit,
    chance_of,
    equal_groups,
    kept_fraction,
)
from trainer.sample_order import Orders, RepeatEpoch
from trainer.stopping import TrainingFailed
from trainer.tool_loop import ConcurrentTools, in_prompt_order


@dataclass(frozen=True, slots=True)
class Played:
    """What is known of a process's episodes between their scoring and their recording, in the order of the batch."""

    inputs: Sequence[dict[str, Any]]
    prompts: Sequence[list[dict[str, Any]]]
    completions: Sequence[list[dict[str, Any]]]
    breakdowns: Sequence[Breakdown]
    right: Sequence[bool]
    verdicts: Sequence[Verdict | None]
    statuses: Sequence[Status]
    masked: Sequence[bool]
    equal: torch.Tensor
    """Whether an episode's whole group has one reward, [episodes]."""


class Outcome(NamedTuple):
    """What is known of an episode of an evaluation on every process."""

    question_id: str
    right: bool
    visits: int
    status: str
    unjudged: bool


class NavigationGRPOTrainer(
    CachedRollouts, SharedPrompts, TidyMicroBatches, ConcurrentTools, DurableCheckpoints, GRPOTrainer
):
    """GRPO on navigation episodes.

    Args:
        reward_funcs: The part functions of one `RewardMix`, which share their scoring.
        masks: Which statuses carry no loss.
        recorder: Keeps the training rollouts; None keeps none.
        keep_cache: Whether rollouts on transformers keep their key-value cache.
        share_prompts: Whether the loss runs a prompt once for its group.
        tool_threads: Most episodes whose tool calls run at the same time.
        max_turn_tokens: Most tokens of one assistant message; None: what the episode has left. A message that is cut
            ends its episode as `out_of_tokens`.
    """

    model: PreTrainedModel
    environments: list[NavigationEnvironment]  # type: ignore[assignment]  # trl begins with None
    """Of this process's episodes, in the order of the batch."""

    def __init__(
        self,
        *,
        reward_funcs: Sequence[PartFunction],
        masks: EpisodeMasks | None = None,
        recorder: RolloutRecorder | None = None,
        keep_cache: bool = True,
        share_prompts: bool = True,
        tool_threads: int = 64,
        max_turn_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.batch = reward_funcs[0].batch
        self.masks = masks or EpisodeMasks()
        self.recorder = recorder
        self.keep_cache = keep_cache
        self.share_prompts = share_prompts
        self.tool_threads = tool_threads
        self.world_errors: dict[int, str] = {}
        self._judge_seconds = 0.0
        self._played: Played | None = None
        self._outcomes: list[Outcome] = []
        super().__init__(reward_funcs=list(reward_funcs), **kwargs)
        score_supervised_alone()
        self.tools = in_prompt_order(self.tools)
        self._env_tools = {name: in_prompt_order(tools) for name, tools in self._env_tools.items()}
        self.limit_turns(max_turn_tokens)
        # A message that was cut ends in another token than these; without the limit its episode is at its budget.
        self.batch.endings = frozenset(self.eos_token_ids) if max_turn_tokens else None
        if recorder is not None:
            self.add_callback(recorder)
        self.best = BestPolicy(cast(str, self.args.output_dir))
        self.add_callback(self.best)
        self.orders = Orders()
        self.add_callback(self.orders)
        self.add_callback(ReturnsFreedMemory())

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler:
        return RepeatEpoch(cast(RepeatSampler, super()._get_train_sampler(dataset)), self.orders)

    def _generate(self, prompts):
        begun = time.perf_counter()
        result = super()._generate(prompts)
        self._log_metric("time/rollout", time.perf_counter() - begun)
        self._log_metric("time/tools", self.tool_seconds)
        return result

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        """Rewards by part, [episodes of all processes, parts].

        Rows of masked episodes are NaN, which trl leaves out of the group's mean and gives an advantage of 0.
        """
        begun = time.perf_counter()
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        columns = {key: [row[key] for row in inputs] for key in inputs[0]}
        scored = self.batch.episodes(completions, completion_ids_list, self.environments, columns)
        statuses = [
            Status.FAILED if index in self.world_errors else episode.breakdown.status
            for index, episode in enumerate(scored)
        ]
        masked = [
            status in self.masks.masked or episode.unjudged for status, episode in zip(statuses, scored, strict=True)
        ]
        # Of all processes, [episodes of all], as trl gathered the rewards, [episodes of all, parts].
        everyone = self.accelerator.gather(torch.tensor(masked, dtype=torch.long, device=rewards.device)).bool()
        rewards[everyone] = torch.nan
        self._log_metric(f"status/{Status.FAILED}", statuses.count(Status.FAILED) / len(statuses))
        self._log_metric("chance", fmean(chance_of(row["options"]) for row in inputs))
        self._log_metric("masked", sum(masked) / len(masked))
        for visit in (visit for environment in self.environments for visit in environment.visits):
            self._log_metric("video_qa_share", float(visit.tool == VIDEO_QA))  # trl divides by how many there are
        # A part that does not apply is NaN and adds nothing; a masked episode has no total. [episodes of all]
        totals = (rewards * self.reward_weights.to(rewards.device)).nansum(1).masked_fill(everyone, torch.nan)
        size = self.num_generations if self.model.training else self.num_generations_eval
        assert size is not None, "GRPOConfig fills both in"
        equal = equal_groups(totals, size)  # [groups]
        if self.multi_objective_aggregation == "normalize_then_sum":
            # Parts that cancel each other out in the sum teach all the same.
            for part in rewards.T:  # [episodes of all]
                equal = equal * equal_groups(part, size).nan_to_num(nan=1.0)
        if not equal.isnan().all():
            # The part functions see their process's episodes alone; a group may be spread over several.
            self._pending_metrics["equal_groups"] = [equal.nanmean().item()]
        if not self.model.training:
            self._outcomes += gather_object(
                [
                    Outcome(row["id"], episode.right, len(environment.visits), str(status), episode.unjudged)
                    for row, episode, environment, status in zip(
                        inputs, scored, self.environments, statuses, strict=True
                    )
                ]
            )
        first = self.accelerator.process_index * len(prompts)
        self._played = Played(
            inputs,
            prompts,
            completions,
            [episode.breakdown for episode in scored],
            [episode.right for episode in scored],
            [episode.verdict for episode in scored],
            statuses,
            masked,
            # From groups to this process's episodes; NaN, a group that is all masked, is not above 0.
            (equal > 0).repeat_interleave(size)[first : first + len(prompts)],
        )
        self._log_metric("time/reward", time.perf_counter() - begun)
        self._log_judge()
        return rewards

    def _log_judge(self) -> None:
        """Seconds that verdicts of this generation took; a judge that is asked no more ends the run."""
        judge, before = self.batch.judge, self._judge_seconds
        self._judge_seconds = self.batch.judge_seconds
        if judge is not None or self._judge_seconds > before:
            self._log_metric("time/judge", self._judge_seconds - before)
        if judge is not None and judge.stopped:
            raise TrainingFailed(
                f"the judge is asked no more: {judge.stopped}. Run the same command again: it goes on from the last "
                "checkpoint, and no verdict is paid for twice"
            )

    def _evaluate(self, trial, ignore_keys_for_eval, skip_scheduler=False):
        # transformers calls it so for `eval_on_start`, and again when a run goes on: only a run stopped by a signal
        # saved a step without its evaluation.
        step = self.state.global_step
        if skip_scheduler and step and (step == self.best.last or not self._is_evaluated(step)):
            return {}
        return super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)

    def _is_evaluated(self, step: int) -> bool:
        every = self.state.eval_steps
        return bool(every) and (step % every == 0 or step == self.state.max_steps)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Plays the held-out questions, with the same random numbers at every step, and keeps the weights if they may
        be the best.

        Training has its own: it is the same with and without evaluations.
        """
        devices = [self.args.device] if self.args.device.type == "cuda" else []
        self._outcomes = []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.args.seed + self.accelerator.process_index)
            return super().evaluate(*args, **kwargs)

    def log(self, logs, start_time=None):
        trained = self._metrics["train"]
        if trained.get("time/judge") and trained.get("step_time"):
            trained["judge/share_of_step"] = [sum(trained["time/judge"]) / sum(trained["step_time"])]
        seen = self._metrics["eval"]
        if not self.model.training and seen.get("accuracy"):
            played = self._played_once()
            # trl takes the mean of the batches' means, in which the last and smaller batch counts as much as the first.
            for status in Status:
                seen[f"status/{status}"] = [fmean(each.status == status for each in played)]
            # An episode whose world failed, or whose answer nobody could judge, says nothing of the policy.
            if told := [each for each in played if each.status != Status.FAILED and not each.unjudged]:
                score = HeldOutScore.of(self.state.global_step, [(each.right, each.visits) for each in told])
                seen["accuracy"], seen["visits"] = [score.accuracy], [score.visits]
                self._keep_if_best(score)
                seen["best_step"] = [cast(HeldOutScore, self.best.chosen).step]
            means = (fmean(seen[name]) for name in ("accuracy", "visits", "chance"))
            seen["accuracy_per_visit"] = [accuracy_per_visit(*means)]
        super().log(logs, start_time)

    def _played_once(self) -> list["Outcome"]:
        """The episodes of an evaluation: a sampler fills the last batches of several processes with repeats."""
        times: Counter[str] = Counter()
        kept = []
        for each in self._outcomes:
            times[each.question_id] += 1
            if times[each.question_id] <= cast(int, self.num_generations_eval):
                kept.append(each)
        return kept

    def _keep_if_best(self, score: HeldOutScore) -> None:
        if not self.best.add(score):
            return
        try:
            self.best.save(score.step, self.save_model, self.args.should_save)
        except Exception as error:  # no space, no rights, a dead file system
            path = self.best.path(score.step)
            raise TrainingFailed(unfinished(path, Path(cast(str, self.args.output_dir)), error)) from error
        self.accelerator.wait_for_everyone()
        # What an alarm names.
        self.state.best_model_checkpoint = str(self.best.path(cast(HeldOutScore, self.best.chosen).step))

    def save_final(self, folder: str) -> dict[str, Any]:
        if self.best.chosen is None:
            return super().save_final(folder)
        if not self.args.should_save:
            return {}
        chosen = self.best.hand_over(folder)
        if self.accelerator.is_main_process:
            print(
                f"the final model is that of step {chosen.step} of {self.state.global_step}: held-out accuracy "
                f"{chosen.accuracy:.3f} with {chosen.visits:.2f} visits",
                flush=True,
            )
        score = {name: value for name, value in asdict(chosen).items() if name != "step"}
        held_out = {**score, "standard_error": chosen.standard_error}
        return {"step": chosen.step, "steps": self.state.global_step, "held_out": held_out}

    def after_final(self, record: Mapping[str, Any]) -> None:
        if self.best.chosen is not None:
            self.best.keep_alone(record["step"])

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        played, self._played = self._played, None
        assert played is not None, "scoring leaves them here"
        mode = "train" if self.model.training else "eval"
        trained = output["completion_mask"] * output["tool_mask"]  # 1 at sampled tokens, [episodes, tokens]
        # Rounding leaves equal rewards a little off their mean, and Adam makes a step of any size of gradient.
        output["advantages"] = output["advantages"].masked_fill(played.equal, 0.0)
        if self.recorder is not None and mode == "train":
            self._record(self.recorder, played, output, trained)
        masked = torch.tensor(played.masked, device=trained.device).unsqueeze(1)  # [episodes, 1]
        output["tool_mask"] = output["tool_mask"].masked_fill(masked, 0)
        trained = trained.masked_fill(masked, 0)
        # Of all processes: the loss is summed over tokens on each and divided by this.
        output["num_items_in_batch"] = self.accelerator.gather(trained.sum()).sum()
        if "importance_sampling_ratio" in output:
            kept = kept_fraction(
                output["importance_sampling_ratio"],
                trained,
                self.vllm_importance_sampling_clip_min,
                self.vllm_importance_sampling_clip_max,
            )
            share = self.accelerator.gather(torch.tensor(kept, device=trained.device)).mean()
            self._metrics[mode]["sampling/kept_fraction"].append(share.item())
        return output

    def _record(
        self, recorder: RolloutRecorder, played: Played, output: dict[str, torch.Tensor], trained: torch.Tensor
    ) -> None:
        step = self.state.global_step + 1
        first = self.accelerator.process_index * len(played.inputs)
        records = []
        for index, question in enumerate(played.inputs):
            group, sample = divmod(first + index, self.num_generations)
            records.append(
                record(
                    question=question,
                    messages=[*played.prompts[index], *played.completions[index]],
                    spoken=played.completions[index],
                    environment=self.environments[index],
                    breakdown=played.breakdowns[index],
                    right=played.right[index],
                    status=played.statuses[index],
                    error=self.world_errors.get(index),
                    step=step,
                    group=f"{step}.{group}",
                    sample=sample,
                    advantage=output["advantages"][index].item(),
                    masked=played.masked[index],
                    prompt_tokens=int(output["prompt_mask"][index].sum()),
                    completion_tokens=int(trained[index].sum()),
                    verdict=played.verdicts[index],
                )
            )
        records = gather_object(records)
        if self.accelerator.is_main_process:
            recorder.write(step, records)
