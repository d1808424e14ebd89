"""What a run of GRPO is told besides trl's own options."""

from dataclasses import dataclass, field

from trainer.arguments import DataArguments


@dataclass
class GRPOArguments(DataArguments):
    """GRPO's own: the reward mix, and which questions to train on."""

    reward: dict | None = field(
        default=None, metadata={"help": "Reward mix: a mapping of parts, as rewards.RewardMix.from_config takes it."}
    )
    train_questions: int | None = field(
        default=None, metadata={"help": "Train on at most this many questions; the first by a hash of their ids."}
    )
    cached_rollouts: bool = field(
        default=True, metadata={"help": "Keep the key-value cache between turns where transformers generates."}
    )
