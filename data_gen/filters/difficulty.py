"""How often a policy solves each question: GRPO learns only from questions that it solves sometimes."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from navigation import InputError, Limits, NavigationEnvironment, Policy, Question, TreeStore, run


async def pass_rates(
    policy: Policy,
    questions: Sequence[Question],
    trees: TreeStore,
    samples: int = 8,
    limits: Limits | None = None,
    in_flight: int = 16,
    make_environment: Callable[[TreeStore], NavigationEnvironment] = NavigationEnvironment,
) -> dict[str, float]:
    """Share of right answers among `samples` walks of each question, by question id.

    Questions on which a walk failed (the policy itself raised) are rated by their other walks; a question on which all
    failed has no rate.

    Args:
        policy: Usually the SFT policy behind an endpoint; any policy does.
        questions: To be rated.
        trees: Their caption trees.
        samples: Walks a question.
        limits: Of a walk.
        in_flight: Walks at once.
        make_environment: Gives each walk its world.
    """
    if samples < 1:
        raise InputError("difficulty", "samples", samples, "give a whole number of at least 1")
    solved: dict[str, list[bool]] = {question.id: [] for question in questions}
    waiting = iter([(question, sample) for question in questions for sample in range(samples)])

    async def work() -> None:
        environment = make_environment(trees)
        for question, sample in waiting:
            walk = await run(policy, environment, question, limits, sample)
            if walk.error is None:
                solved[question.id].append(walk.correct)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return {name: sum(each) / len(each) for name, each in solved.items() if each}


def keep_sometimes_solved(
    rows: Iterable[dict[str, Any]], rates: dict[str, float], lowest: float = 0.0, highest: float = 1.0
) -> list[dict[str, Any]]:
    """Rows whose rate lies strictly between the bounds, with the column `pass_rate`.

    Rows without a rate are left out: nothing is known of them.
    """
    kept = []
    for row in rows:
        rate = rates.get(row["id"])
        if rate is not None and lowest < rate < highest:
            kept.append({**row, "pass_rate": rate})
    return kept
