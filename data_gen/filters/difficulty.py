"""How often a policy solves each question: GRPO learns only from questions that it solves sometimes."""

from collections import defaultdict
from collections.abc import Iterable

from navigation import Status, Trajectory


def pass_rates(walks: Iterable[Trajectory]) -> dict[str, float]:
    """Share of right answers among the walks of each question, by question id.

    A walk that failed (the policy itself raised, the endpoint was gone) says nothing of its question and is left out; a
    question on which all failed has no rate. A walk that ran out of turns or tokens did not solve its question.

    Args:
        walks: Several walks of each question by one policy, usually the SFT policy, sampled at the temperature of GRPO.
    """
    solved: dict[str, list[bool]] = defaultdict(list)
    for walk in walks:
        if walk.status is not Status.FAILED:
            solved[walk.question_id].append(walk.correct)
    return {question: sum(each) / len(each) for question, each in solved.items()}
