"""The policy that a run of GRPO ends with: the most frugal of those as accurate as the best on held-out questions."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from trainer.durable_checkpoints import flush

FOLDER = "held_out_best"
"""Under the run's folder: weights of the steps that may still be chosen, and of the chosen one at the end."""


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """What the policy of one optimizer step did on the held-out questions.

    Args:
        step: Optimizer steps done.
        accuracy: Share of right answers.
        visits: Mean visits an episode.
        episodes: How many were played; those whose world failed are left out.
    """

    step: int
    accuracy: float
    visits: float
    episodes: int

    @classmethod
    def of(cls, step: int, outcomes: Sequence[tuple[bool, int]]) -> "HeldOutScore":
        """From `(right, visits)` of each episode."""
        count = len(outcomes)
        return cls(step, sum(right for right, _ in outcomes) / count, sum(made for _, made in outcomes) / count, count)

    @property
    def standard_error(self) -> float:
        """Of the accuracy, as a share of independent episodes, with two right and two wrong ones added.

        So it does not vanish where all or none are right (Agresti and Coull, "Approximate Is Better than Exact for
        Interval Estimation of Binomial Proportions", 1998).
        """
        count = self.episodes + 4
        share = (self.accuracy * self.episodes + 2) / count
        return sqrt(share * (1 - share) / count)


def best(scores: Iterable[HeldOutScore]) -> HeldOutScore:
    """Of the steps whose accuracy is within one standard error of the highest, the one with the fewest visits.

    Of steps with equal visits the later. The standard error is the highest accuracy's own.
    """
    scores = list(scores)
    top = max(scores, key=lambda score: (score.accuracy, score.step))
    as_good = [score for score in scores if score.accuracy >= top.accuracy - top.standard_error]
    return min(as_good, key=lambda score: (score.visits, -score.step))


def still_possible(scores: Iterable[HeldOutScore]) -> list[HeldOutScore]:
    """The scores that `best` may return now or after more are added, in the order of their steps.

    Out are those below the bar, which only rises, and those that another is at least as accurate as with fewer visits.
    """
    scores = list(scores)
    top = max(scores, key=lambda score: (score.accuracy, score.step))
    bar = top.accuracy - top.standard_error
    kept = [
        one
        for one in scores
        if one.accuracy >= bar
        and not any(
            other.accuracy >= one.accuracy and (other.visits, -other.step) < (one.visits, -one.step) for other in scores
        )
    ]
    return sorted(kept, key=lambda score: score.step)


class BestPolicy(TrainerCallback, ExportableState):
    """Keeps the weights of the steps that may be the run's best, and remembers their scores in the checkpoints.

    A step's weights are written when it is scored; those that can no longer be chosen are deleted after the next
    checkpoint, so that a run that was killed finds everything that its checkpoint names.

    Args:
        folder: The run's.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder) / FOLDER
        self.scores: list[HeldOutScore] = []
        self.last: int | None = None
        """The last step that was scored."""

    def state(self) -> dict[str, Any]:
        scores = [asdict(score) for score in self.scores]
        return {"args": {}, "attributes": {"scores": scores, "last": self.last}}

    def on_train_begin(self, args, state, control, **kwargs):
        saved: Mapping[str, Any] = state.stateful_callbacks.get(type(self).__name__, {}).get("attributes", {})
        self.last = saved.get("last")
        # Whether the weights are there is asked at the end, by the process that writes: here all must agree.
        self.scores = [HeldOutScore(**score) for score in saved.get("scores", ())]
        if state.is_world_process_zero:
            self._delete_others()

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self._delete_others()

    def path(self, step: int) -> Path:
        """Where the weights of a step are."""
        return self.folder / f"step-{step:06d}"

    def add(self, score: HeldOutScore) -> bool:
        """Takes a score in; whether its weights have to be kept."""
        self.last = score.step
        others = [other for other in self.scores if other.step != score.step]
        self.scores = still_possible([*others, score])
        return score in self.scores

    @property
    def chosen(self) -> HeldOutScore | None:
        """The best so far; None before anything was scored."""
        return best(self.scores) if self.scores else None

    def save(self, step: int, save_model: Any, writes: bool) -> None:
        """Writes a step's weights.

        Args:
            save_model: Of the trainer; called on every process with a folder.
            writes: Whether this process writes files.
        """
        path = self.path(step)
        if writes:
            shutil.rmtree(path, ignore_errors=True)  # of the same step, before a kill
        save_model(str(path), _internal_call=True)  # else it would be pushed to the Hub, where that is asked for
        if writes:
            flush(path)

    def hand_over(self, folder: str | Path) -> HeldOutScore:
        """Puts the chosen weights into a folder, where they take no room of their own if the disk has hard links.

        Returns:
            Their score. A run that ended keeps what it chose alone; one that goes on from an older checkpoint after
            that chooses from what is there.

        Raises:
            FileNotFoundError: no weights are there.
        """
        there = [score for score in self.scores if self.path(score.step).is_dir()]
        if not there:
            raise FileNotFoundError(f"{self.folder} has no weights: they were deleted")
        score = best(there)
        shutil.copytree(self.path(score.step), folder, copy_function=_link, dirs_exist_ok=True)
        return score

    def keep_alone(self, step: int) -> None:
        """Deletes the weights of other steps, once the final model is there: the run started again chooses it too."""
        self._delete_others({self.path(step)})

    def _delete_others(self, kept: set[Path] | None = None) -> None:
        kept = {self.path(score.step) for score in self.scores} if kept is None else kept
        for path in self.folder.glob("step-*"):
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
    return target
