"""Opens segments at random and answers at random: the floor under every other policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.policies.planned import PlannedPolicy
from evaluation.policies.seeded import generator
from navigation import LETTERS, Path, Reply, Task, answer_message


@dataclass(frozen=True, kw_only=True)
class RandomPolicy(PlannedPolicy):
    """Opens `visits` different segments of any level, each equally likely, then picks an option at random."""

    visits: int = 4

    name = "random"
    reasoning = "I open some segments at random."

    def plan(self, task: Task) -> Sequence[Path]:
        paths = list(task.grid.paths())
        draw = generator(self.seed, "random visits", task.question.id, task.sample)
        return draw.sample(paths, min(self.visits, len(paths)))

    def answer(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        letters = LETTERS[: len(task.question.options)]
        letter = generator(self.seed, "random answer", task.question.id, task.sample).choice(letters)
        return Reply(answer_message("I pick an option at random.", letter))
