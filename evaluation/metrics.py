"""What a policy's trajectories add up to: each metric with its N and its interval."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import comb, fsum
from typing import Any

import numpy as np

from evaluation.bootstrap import interval_with_votes, ratio_intervals
from evaluation.meter import MEANS, Measures
from evaluation.result import labels_of
from navigation import InputError, Question, Status, Trajectory
from rewards.answer import LABELS, Verdict

METRICS = ("accuracy", "visits", "visit_cost", "grounding", "turns", "refused", "prompt_tokens", "completion_tokens")
OPEN_METRICS = ("share_right", "token_f1", "rouge_l")
INDEX_METRICS = ("index_captions", "visit_cost_with_index")


MOST_REASONS = 5
"""Reasons of failures that a summary tells."""


def summarise(trajectories: Iterable[Trajectory], questions: Iterable[Question], seed: int = 0) -> dict[str, Any]:
    """One policy's summary.

    Every metric is a mean over all trajectories that have a value; `<metric>_ci` is its 95 % interval, and `<metric>_n`
    its N where that is not `n` (grounding needs clue intervals). `accuracy` is right answers / all trajectories: an
    episode that failed or did not answer is wrong and counts as no letter; `answered` stands beside it, and
    `unread_evidence` counts pieces of cited evidence that are no span, `failures` failed episodes by what was raised.
    `by_kind`
    counts a question with several labels under each. `meter` holds means and totals of what `Meter.read` counts;
    `pass_at` the chance that one of k attempts is right, where questions were attempted several times. A policy that
    builds an index also has `visit_cost_with_index`: what its visits cost plus one unit for every caption that the
    index of the question's video needs; and `visit_cost_with_shared_index`, where a video's questions share its index.

    Raises:
        InputError: a trajectory whose question is not among `questions`.
    """
    trajectories = list(trajectories)
    by_id = {question.id: question for question in questions}
    for trajectory in trajectories:
        if trajectory.question_id not in by_id:
            raise InputError(
                "trajectories", "question_id", trajectory.question_id, "give the questions they were made on"
            )
    values = [_values(trajectory) for trajectory in trajectories]
    names = list(METRICS)
    if any(value["index_captions"] is not None for value in values):
        names += INDEX_METRICS
    if any(trajectory.verdict for trajectory in trajectories):
        names += OPEN_METRICS
    groups = [trajectory.question_id for trajectory in trajectories]
    summary = figures(values, groups, names, seed)
    if INDEX_METRICS[0] in names:
        summary["visit_cost_with_shared_index"] = _shared_index_cost(trajectories, values)
    statuses = Counter(trajectory.status for trajectory in trajectories)
    summary["statuses"] = {status.value: statuses[status] for status in Status}
    if failures := Counter(map(_reason, (each for each in trajectories if each.status is Status.FAILED))):
        summary["failures"] = dict(failures.most_common(MOST_REASONS))
    summary["n"] = len(trajectories)
    summary["questions"] = len(set(groups))
    summary["answered"] = statuses[Status.ANSWERED]
    summary["unread_evidence"] = sum(Measures.of(each).unread_evidence or 0 for each in trajectories)
    labels = [labels_of(by_id[group].kind) for group in groups]
    summary["by_kind"] = by_kind(values, groups, labels, seed)
    if meters := [meter for each in trajectories if (meter := Measures.of(each).meter)]:
        summary["meter"] = {name: _totals([meter[name] for meter in meters]) for name in MEANS}
    if len(trajectories) > len(set(groups)):
        known = [(group, value["accuracy"] == 1.0) for group, value in zip(groups, values, strict=True)]
        known = [each for each, value in zip(known, values, strict=True) if value["accuracy"] is not None]
        summary["pass_at"] = pass_at(*zip(*known, strict=True)) if known else {}
    if verdicts := [Verdict.from_dict(each.verdict) for each in trajectories if each.verdict]:
        summary["verdicts"] = _verdicts(verdicts)
        if any(verdict.votes for verdict in verdicts):
            summary["accuracy_with_votes_ci"] = _interval_with_votes(trajectories, groups, seed)
    return summary


def _verdicts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Counts of what was said of answers in words, and by which rule or judge; `agreement` is of a judge's votes."""
    agreement = [each.agreement for each in verdicts if each.agreement is not None]
    return {
        **{label: sum(each.label == label for each in verdicts) for label in LABELS},
        "by": dict(sorted(Counter(each.by for each in verdicts).items())),
        "agreement": _round(fsum(agreement) / len(agreement)) if agreement else None,
    }


def _interval_with_votes(trajectories: Sequence[Trajectory], groups: Sequence[str], seed: int) -> list[float] | None:
    """The interval of the accuracy where every draw of questions also draws one vote for each judged answer."""
    known = [(group, each) for group, each in zip(groups, trajectories, strict=True) if each.decided]
    if not known:
        return None
    shares = []
    for _, each in known:
        votes = each.verdict.get("votes") or ()
        right = float(each.correct and each.status is Status.ANSWERED)
        shares.append(sum(vote == "right" for vote in votes) / len(votes) if votes else right)
    low, high = interval_with_votes(np.array(shares), [group for group, _ in known], seed)
    return [_round(low), _round(high)]


def _reason(trajectory: Trajectory) -> str:
    """What a failed episode raised, without what differs from one question to the next: the end of the message."""
    return " ".join((trajectory.error or "no reason given").rsplit(": ", 1)[-1].split())[:120]


def figures(
    values: Sequence[Mapping[str, float | None]], groups: Sequence[str], names: Sequence[str] = METRICS, seed: int = 0
) -> dict[str, Any]:
    """`<metric>`, `<metric>_ci` and, where some have no value, `<metric>_n` of episodes.

    Args:
        values: Each episode's value of every metric.
        groups: Each episode's question.
        names: Of the metrics.
        seed: Of the intervals' draws.
    """
    summary: dict[str, Any] = {}
    for name, (mean, low, high, count) in _estimate(values, groups, names, seed).items():
        summary[name] = mean
        summary[f"{name}_ci"] = None if low is None else [low, high]
        if count != len(values):
            summary[f"{name}_n"] = count
    return summary


def by_kind(
    values: Sequence[Mapping[str, float | None]], groups: Sequence[str], labels: Sequence[Sequence[str]], seed: int = 0
) -> dict[str, dict[str, Any]]:
    """`n`, accuracy and visits with intervals by kind of question; `labels` are each episode's kinds."""
    members: dict[str, list[int]] = {}
    for index, kinds in enumerate(labels):
        for label in kinds:
            members.setdefault(label, []).append(index)
    table: dict[str, dict[str, Any]] = {}
    for kind in sorted(members):
        chosen = members[kind]
        of_kind = [values[index] for index in chosen], [groups[index] for index in chosen]
        table[kind] = {"n": len(chosen)} | figures(*of_kind, ("accuracy", "visits"), seed)
    return table


def kinds_of(summaries: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Question kinds of some summaries with their N, most frequent first."""
    counts: dict[str, int] = {}
    for summary in summaries:
        for kind, scores in (summary.get("by_kind") or {}).items():
            counts[kind] = max(counts.get(kind, 0), scores["n"])
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def pass_at(groups: Sequence[str], right: Sequence[bool]) -> dict[str, float]:
    """Chance that at least one of k attempts at a question is right, for k = 1, 2, 4, … and the number of attempts.

    The unbiased estimate over subsets of the attempts made (Chen et al. 2021, arXiv 2107.03374), averaged over
    questions.

    Args:
        groups: The question of each attempt; every question as often as the others.
        right: Whether the attempt was right.
    """
    tried, found = Counter(groups), Counter(group for group, good in zip(groups, right, strict=True) if good)
    most = min(tried.values())
    sizes = sorted({most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})
    return {
        str(k): _round(sum(1 - comb(n - found[group], k) / comb(n, k) for group, n in tried.items()) / len(tried))
        for k in sizes
    }


def _totals(values: Sequence[float]) -> dict[str, float]:
    return {"mean": _round(fsum(values) / len(values)), "total": _round(fsum(values))}


def _values(trajectory: Trajectory) -> dict[str, float | None]:
    measures = Measures.of(trajectory)
    cost, captions = measures.visit_cost, measures.index_captions
    right = trajectory.correct and trajectory.status is Status.ANSWERED
    verdict = trajectory.verdict
    return {
        # A judge who cannot tell makes an answer neither right nor wrong.
        "accuracy": float(right) if trajectory.decided else None,
        "share_right": verdict["share"] if verdict else float(right),
        "token_f1": verdict.get("token_f1"),
        "rouge_l": verdict.get("rouge_l"),
        "visits": len(trajectory.visits),
        "visit_cost": cost,
        "grounding": trajectory.reward.get("grounding"),
        "turns": trajectory.turns,
        "refused": trajectory.refused,
        "prompt_tokens": trajectory.prompt_tokens,
        "completion_tokens": trajectory.completion_tokens,
        "index_captions": captions,
        "visit_cost_with_index": None if captions is None or cost is None else cost + captions,
    }


def _estimate(
    values: Sequence[Mapping[str, float | None]], groups: Sequence[str], names: Sequence[str], seed: int
) -> dict[str, tuple[float | None, float | None, float | None, int]]:
    """Mean, low, high and N by metric; None where nothing has a value."""
    row = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    table = np.array([[_number(value[name]) for name in names] for value in values], float).reshape(-1, len(names))
    present = ~np.isnan(table)
    sums, counts = np.zeros((len(row), len(names))), np.zeros((len(row), len(names)))
    rows = [row[group] for group in groups]
    np.add.at(sums, rows, np.where(present, table, 0.0))
    np.add.at(counts, rows, present.astype(float))
    bounds = ratio_intervals(sums, counts, seed)
    estimates: dict[str, tuple[float | None, float | None, float | None, int]] = {}
    for column, name in enumerate(names):
        count = int(counts[:, column].sum())
        if count:
            mean = float(sums[:, column].sum() / count)
            estimates[name] = (_round(mean), _round(bounds[column, 0]), _round(bounds[column, 1]), count)
        else:
            estimates[name] = (None, None, None, 0)
    return estimates


def _shared_index_cost(
    trajectories: Sequence[Trajectory], values: Sequence[Mapping[str, float | None]]
) -> float | None:
    captions: dict[str, float] = {}
    for each, value in zip(trajectories, values, strict=True):
        captions[each.video_id] = max(captions.get(each.video_id, 0.0), value["index_captions"] or 0.0)
    costs = [value["visit_cost"] for value in values if value["visit_cost"] is not None]
    return _round((sum(costs) + sum(captions.values())) / len(costs)) if costs else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _round(value: float) -> float:
    # Ten digits: sums in another order differ in the last bits, and result files are compared byte by byte.
    return float(f"{value:.10g}")
