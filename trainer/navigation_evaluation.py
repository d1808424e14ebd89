"""Held-out questions played by the model while it trains: right answers and visits, not only the loss of imitation.

An episode can be imitated badly and still end right, and the other way round; the loss does not tell.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from accelerate.utils import gather_object
from transformers import PreTrainedTokenizerBase, Trainer
from trl.models import unwrap_model_for_generation

from navigation import EnvironmentFactory, InputError, Limits, Question, Status, Trajectory, TreeStore, run
from rewards import RewardMix
from trainer.local_policy import LocalPolicy

AT_ONCE = 64


class NavigationEvaluation:
    """Plays the same questions at every evaluation, greedily, shared out among the processes.

    Args:
        questions: Held-out questions.
        trees: Their caption trees.
        tokenizer: The model's, with the chat template.
        turns: Most assistant messages an episode.
        tokens: Most tokens of an episode after its prompt, tool replies included.

    Raises:
        InputError: no question, or a question whose caption tree is missing.
    """

    def __init__(
        self, questions: Sequence[Question], trees: TreeStore, tokenizer: PreTrainedTokenizerBase, turns: int = 15,
        tokens: int = 12288,
    ) -> None:  # fmt: skip
        if not questions:
            raise InputError("config", "navigation_questions", 0, "hold out more videos, or play no questions")
        missing = next((question.video_id for question in questions if question.video_id not in trees), None)
        if missing is not None:
            raise InputError(trees.folder, "video_id", missing, "make its caption tree first")
        self.questions, self.trees, self.tokenizer = list(questions), trees, tokenizer
        self.limits, self.tokens = Limits(turns=turns), tokens
        self.mix = RewardMix.from_config(None)

    def play(self, trainer: Trainer, prefix: str = "eval") -> dict[str, float]:
        """Figures by name, `<prefix>_navigation_…`: the same on every process."""
        state = trainer.accelerator
        mine = self.questions[state.process_index :: state.num_processes]
        training = trainer.model.training
        with unwrap_model_for_generation(trainer.model_wrapped, state) as model:
            model.eval()
            episodes = self.episode(model, mine)
        trainer.model.train(training)
        rows = gather_object([self._row(episode, question) for episode, question in zip(episodes, mine, strict=True)])
        grounded = [row["grounding"] for row in rows if row["grounding"] is not None]
        figures = {
            "accuracy": sum(row["correct"] for row in rows) / len(rows),
            "visits": sum(row["visits"] for row in rows) / len(rows),
            "unanswered": sum(not row["answered"] for row in rows) / len(rows),
            "questions": float(len(rows)),
        }
        if grounded:
            figures["grounding"] = sum(grounded) / len(grounded)
        return {f"{prefix}_navigation_{name}": value for name, value in figures.items()}

    def episode(self, model: Any, questions: Sequence[Question]) -> list[Trajectory]:
        """One greedy episode for each question, in order."""
        policy = LocalPolicy.of(model, self.tokenizer, temperature=0.0, max_completion_tokens=self.tokens)
        return asyncio.run(self._play_all(policy, questions))

    async def _play_all(self, policy: LocalPolicy, questions: Sequence[Question]) -> list[Trajectory]:
        episodes: dict[int, Trajectory] = {}
        jobs = iter(enumerate(questions))

        async def work() -> None:
            environment = EnvironmentFactory(self.trees)()
            for number, question in jobs:
                episodes[number] = await run(policy, environment, question, self.limits)

        await asyncio.gather(*[work() for _ in range(min(AT_ONCE, len(questions)))])
        failed = next((episode for episode in episodes.values() if episode.status is Status.FAILED), None)
        if failed is not None:
            raise RuntimeError(f"the model failed on {failed.question_id}: {failed.error}")
        return [episodes[number] for number in range(len(questions))]

    def _row(self, episode: Trajectory, question: Question) -> dict[str, Any]:
        grid = self.trees[question.video_id].grid
        score = self.mix.score(question, grid, episode.visits, episode.status, episode.prediction, episode.refused)
        return {
            "correct": episode.correct and episode.status is Status.ANSWERED, "visits": len(episode.visits),
            "answered": episode.status is Status.ANSWERED, "grounding": score.to_dict().get("grounding"),
        }  # fmt: skip
