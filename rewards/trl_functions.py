"""The mix as trl reward functions: picklable objects that share one pass over each batch, and the steered weight."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from navigation import (
    CaptionTree,
    InputError,
    NavigationEnvironment,
    Question,
    SearchEnvironment,
    SegmentPath,
    Status,
    TreeStore,
    read_outcome,
)
from navigation.episode import call_tool
from rewards.answer import WRONG, Verdict, by_rules, needs_verdict
from rewards.judge import JudgeThread
from rewards.mix import Breakdown, RewardMix

COST_METRIC = "cost_of_right_answers"
"""Mean cost in visit units over the right answers of a batch: what a steered weight listens to."""

Messages = Sequence[Mapping[str, Any]]
_BATCHES_KEPT = 8


class _Episode(NamedTuple):
    breakdown: Breakdown
    right: bool
    verdict: Verdict | None = None
    """On an answer in words."""

    @property
    def unjudged(self) -> bool:
        """Whether it ended in words that nobody could say anything of: it has no reward, and teaches nothing."""
        return self.verdict is not None and self.verdict.share is None


class Batch:
    """Scores batches of trl completions, each once, whoever of the part functions asks first.

    Thread-safe (the asynchronous trainer scores in threads) and picklable (what was scored stays behind).

    Args:
        judge: Of answers in words that rules cannot decide; None: those are wrong.
    """

    def __init__(
        self,
        mix: RewardMix,
        turns: int | None = None,
        tokens: int | None = None,
        replay: TreeStore | None = None,
        judge: JudgeThread | None = None,
    ) -> None:
        self.mix, self.turns, self.tokens, self.replay, self.judge = mix, turns, tokens, replay, judge
        self.endings: frozenset[int] | None = None
        """Tokens that end a message, where they are known: one that ends in another was cut."""
        self.judge_seconds = 0.0
        """Spent on verdicts of answers in words, by rules and waiting for the judge."""
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        # The key keeps its lists alive, so an id cannot come back as another batch while it is held here.
        self._scored: OrderedDict[tuple[int, int], tuple[Any, Any, list[_Episode]]] = OrderedDict()
        self._under_way: dict[tuple[int, int], threading.Lock] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_scored", "_under_way")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def episodes(
        self,
        completions: Sequence[Messages],
        completion_ids: Sequence[Sequence[int]] | None,
        environments: Sequence[NavigationEnvironment] | None,
        columns: Mapping[str, Any],
    ) -> list[_Episode]:
        """One scored episode a completion, in order. Logs the batch when it is scored."""
        key = (id(completions), id(environments))
        with self._lock:
            batch_lock = self._under_way.setdefault(key, threading.Lock())
        # A lock for each batch: a judge takes its time, and other batches are to be judged meanwhile.
        with batch_lock:
            with self._lock:
                found = self._scored.get(key)
            if found is not None:
                return found[2]
            ended = [
                self._end(index, completions, completion_ids, environments, columns)
                for index in range(len(completions))
            ]
            episodes = self._score(ended)
            with self._lock:
                self._scored[key] = (completions, environments, episodes)
                while len(self._scored) > _BATCHES_KEPT:
                    self._scored.popitem(last=False)
                self._under_way.pop(key, None)
        _log(episodes, columns, self.mix)
        return episodes

    def _score(self, ended: Sequence["_Ended"]) -> list[_Episode]:
        spoken = [
            (each.question, each.prediction)
            for each in ended
            if each.prediction is not None and needs_verdict(each.question, each.status, each.prediction)
        ]
        verdicts = iter(self._verdicts(spoken))
        episodes = []
        for each in ended:
            verdict = next(verdicts) if needs_verdict(each.question, each.status, each.prediction) else None
            breakdown = self.mix.score(
                each.question,
                each.environment.tree.grid,
                each.environment.visits,
                each.status,
                each.prediction,
                each.refused,
                lookups=each.environment.lookups,
                verdict=verdict,
            )
            right = each.status is Status.ANSWERED and each.prediction == each.question.answer
            episodes.append(_Episode(breakdown, right if verdict is None else verdict.right, verdict))
        return episodes

    def _verdicts(self, answers: Sequence[tuple[Question, str]]) -> list[Verdict]:
        if not answers:
            return []
        begun = time.perf_counter()
        if self.judge is not None:
            found = self.judge.verdicts(answers)
        else:
            found = [by_rules(*each) or WRONG for each in answers]
        with self._lock:
            self.judge_seconds += time.perf_counter() - begun
        return found

    def _end(
        self,
        index: int,
        completions: Sequence[Messages],
        completion_ids: Sequence[Sequence[int]] | None,
        environments: Sequence[NavigationEnvironment] | None,
        columns: Mapping[str, Any],
    ) -> "_Ended":
        messages = completions[index]
        question = _question(index, columns)
        if environments is not None:
            environment = environments[index]
        elif self.replay is not None:
            environment = _replayed(messages, question.video_id, self.replay)
        else:
            raise InputError(
                "reward functions", "environments", None, "pass trl_functions(replay=…) the store of caption trees"
            )
        spoken = sum(message.get("role") == "assistant" for message in messages)
        ids = completion_ids[index] if completion_ids is not None else ()
        truncated = self.tokens is not None and len(ids) >= self.tokens
        if self.endings is not None and len(ids):
            truncated = truncated or ids[-1] not in self.endings
        turns_left = self.turns is not None and spoken < self.turns
        status, prediction = read_outcome(messages, len(question.options), truncated, turns_left)
        refused = len(environment.refusals) + sum(map(_is_engine_error, messages))
        return _Ended(question, environment, status, prediction, refused)


class _Ended(NamedTuple):
    """An episode before it is scored."""

    question: Question
    environment: NavigationEnvironment
    status: Status
    prediction: str | None
    refused: int


class PartFunction:
    """One part of the mix as a trl reward function: `(prompts, completions, …) -> [value or None]`.

    Columns: id, video_id, question, options, answer, clue_intervals, duration; references of open questions.

    Args:
        name: The part; trl logs it under this name.
        batch: What scores the batches, shared by the functions of one mix.
        weighted: Return values times the part's signed weight.
    """

    def __init__(self, name: str, batch: Batch, weighted: bool = False) -> None:
        self.__name__ = name
        self.batch, self.weighted = batch, weighted

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Messages],
        completion_ids: Sequence[Sequence[int]] | None = None,
        environments: Sequence[NavigationEnvironment] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        episodes = self.batch.episodes(completions, completion_ids, environments, columns)
        values = [episode.breakdown.parts[self.__name__] for episode in episodes]
        mix = self.batch.mix
        if self.weighted:
            weight = mix.weights[self.__name__]
        elif self.__name__ == "visit_cost" and mix.cost_weight.steered:
            weight = mix.cost_weight.value
        else:
            return values
        return [None if value is None else weight * value for value in values]


def trl_functions(
    mix: RewardMix,
    turns: int | None = None,
    tokens: int | None = None,
    weighted: bool = False,
    replay: TreeStore | None = None,
    judge: JudgeThread | None = None,
) -> tuple[list[PartFunction], list[float]]:
    """A mix as reward functions and their weights: `GRPOTrainer(reward_funcs=…)`, `GRPOConfig(reward_weights=…)`.

    The functions share one pass over a batch. Each returns raw values; a steered visit cost returns them times its
    current weight, and -1 stands in the list of weights.

    Args:
        turns: Assistant messages an episode may have: `max_tool_calling_iterations + 1`. Tells an episode that ended in
            a call because its turns were used up from one whose tokens were.
        tokens: Completion tokens an episode may have: tells a message that was cut from an unreadable one.
        weighted: Return weighted values, weights all 1: `AsyncGRPOTrainer` sums the functions as they are.
        replay: Trees to run the transcripts' calls on again, in an environment of their own, where trl passes no
            `environments`: `AsyncGRPOTrainer` does not.
        judge: See `Batch`.

    Raises:
        InputError: `weighted` with a steered cost: the asynchronous trainer scores in another process, where a callback
            cannot reach the weight.
    """
    if weighted and mix.cost_weight.steered:
        raise InputError(
            "reward config",
            "visit_cost.target",
            mix.cost_weight.settings.target,
            "leave it out with the asynchronous engine: the weight cannot be steered there",
        )
    batch = Batch(mix, turns, tokens, replay, judge)
    weights = mix.weights
    if mix.cost_weight.steered:
        weights["visit_cost"] = -1.0
    functions = [PartFunction(name, batch, weighted) for name in mix.parts]
    return functions, [1.0 if weighted else weights[name] for name in mix.parts]


def _question(index: int, columns: Mapping[str, Any]) -> Question:
    try:
        return Question(
            id=columns["id"][index],
            video_id=columns["video_id"][index],
            question=columns["question"][index],
            options=tuple(columns["options"][index] or ()),
            answer=columns["answer"][index] or "",
            clue_intervals=tuple((begin, end) for begin, end in columns["clue_intervals"][index] or ()),
            duration=columns["duration"][index],
            references=tuple((columns.get("references") or {index: ()})[index] or ()),
        )
    except KeyError as error:
        raise InputError("data set", str(error.args[0]), None, "the reward functions need this column") from None


def _is_engine_error(message: Mapping[str, Any]) -> bool:
    """trl answers an unknown tool or wrong arguments itself, before the environment sees them."""
    return message.get("role") == "tool" and str(message.get("content")).startswith("{'error': ")


class _Silent:
    """Stands in for the vision model in a replay, which only asks what was opened."""

    def answer(self, tree: CaptionTree, path: SegmentPath, query: str) -> str:
        return ""


def _replayed(messages: Messages, video_id: str, trees: TreeStore) -> NavigationEnvironment:
    """An environment that has run those calls of a transcript that got a reply."""
    environment = SearchEnvironment(trees, _Silent())
    environment.reset(video_id=video_id)
    for position, message in enumerate(messages):
        if message.get("role") != "assistant":
            continue
        replies = 0
        while position + 1 + replies < len(messages) and messages[position + 1 + replies].get("role") == "tool":
            replies += 1
        said = messages[position + 1 : position + 1 + replies]
        for call, reply in zip(message.get("tool_calls") or (), said, strict=False):
            if str(reply.get("content")).startswith("Error: no tool "):
                environment._refuse(str(reply["content"]))  # the episode had fewer tools than this environment
            elif not _is_engine_error(reply):
                call_tool(environment, call)
    return environment


def _log(episodes: Sequence[_Episode], columns: Mapping[str, Any], mix: RewardMix) -> None:
    """Figures through trl's `log_metric`, and one row an episode through `log_extra`, where trl gives them.

    trl adds up what all processes log and divides by how often: what not every episode has is logged once for each that
    has it, so that a process with one right answer weighs as one.

    `repeats` counts wasted visits; `equal_groups` is the share of questions whose rollouts all totalled the same.
    """
    log_metric, log_extra = columns.get("log_metric"), columns.get("log_extra")
    breakdowns = [episode.breakdown for episode in episodes]
    if log_metric is not None and episodes:
        tallies = [breakdown.tally for breakdown in breakdowns]
        for episode in episodes:
            if not episode.unjudged:
                log_metric("accuracy", float(episode.right))
            if episode.right:
                log_metric(COST_METRIC, episode.breakdown.tally.cost)
            if episode.verdict is not None:
                log_metric("judge/asked", float(episode.verdict.by == "judge"))
                log_metric("judge/unjudged", float(episode.verdict.share is None))
        log_metric("visits", fmean(tally.visits for tally in tallies))
        log_metric("useful_visits", fmean(tally.useful for tally in tallies))
        log_metric("repeats", fmean(tally.wasted for tally in tallies))
        log_metric("refused", fmean(breakdown.refused for breakdown in breakdowns))
        log_metric("cost", fmean(tally.cost for tally in tallies))
        for status in Status:
            if status is Status.FAILED:  # trl raises instead
                continue
            log_metric(f"status/{status}", fmean(breakdown.status is status for breakdown in breakdowns))
        if mix.cost_weight.steered:
            log_metric("visit_cost_weight", mix.cost_weight.value)
        groups: dict[str, list[float]] = {}
        for question_id, breakdown in zip(columns["id"], breakdowns, strict=True):
            if breakdown.total is not None:
                groups.setdefault(question_id, []).append(breakdown.total)
        spreads = [max(totals) - min(totals) for totals in groups.values() if len(totals) > 1]
        if spreads:
            # trl's own share compares at 1e-8, which sums of such weights miss.
            log_metric("equal_groups", fmean(spread < 1e-6 for spread in spreads))
    if log_extra is not None:
        log_extra("status", [breakdown.status.value for breakdown in breakdowns])
        log_extra("cost", [breakdown.tally.cost for breakdown in breakdowns])
        log_extra("total", [breakdown.total for breakdown in breakdowns])


def steering_callbacks(mix: RewardMix) -> list[Any]:
    """Trainer callbacks that a mix needs: the one that steers the visit cost's weight, if it is steered."""
    return [steering_callback(mix)] if mix.cost_weight.steered else []


def steering_callback(mix: RewardMix) -> Any:
    """A `TrainerCallback` that moves the mix's visit cost weight by dual ascent at every log, and is checkpointed.

    It listens to the logged mean cost of right answers, which trl gathers over all processes, so every process takes
    the same step. With `logging_steps=n` it steps once every n optimizer steps. A resumed run goes on with the saved
    weight.

    Args:
        mix: The mix whose `trl_functions` the same trainer was given.

    Raises:
        InputError: the mix has no target to steer to.
    """
    if not mix.cost_weight.steered:
        raise InputError("reward config", "visit_cost.target", None, "give a mean cost to steer to, or use no callback")
    from transformers.trainer_callback import ExportableState, TrainerCallback

    # The trainer may make a restored callback anew, from nothing but its class: hence a class that knows its mix.
    class VisitCostSteering(TrainerCallback, ExportableState):
        @property
        def weight(self) -> float:
            return mix.cost_weight.value

        @weight.setter
        def weight(self, value: float) -> None:
            mix.cost_weight.value = float(value)

        def state(self) -> dict[str, Any]:
            return {"args": {}, "attributes": {"weight": self.weight}}

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            saved = state.stateful_callbacks.get(type(self).__name__)
            if saved:
                self.weight = saved["attributes"]["weight"]

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            mean_cost = (logs or {}).get(COST_METRIC)
            if mean_cost is not None:
                mix.cost_weight.update(mean_cost)

    return VisitCostSteering()
