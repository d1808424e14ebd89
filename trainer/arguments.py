"""What a run of SFT or GRPO is told besides trl's own options."""

from dataclasses import dataclass, field
from pathlib import Path

from trainer.data import TracesFolder


@dataclass
class DataArguments:
    """Where the data is, and how it is split."""

    data: str = field(metadata={"help": "Folder with questions.jsonl, trees/ and (for SFT) trajectories.jsonl."})
    held_out_share: float = field(default=0.1, metadata={"help": "Share of videos kept from training."})
    dry_run: bool = field(
        default=False, metadata={"help": "Print and write the resolved config and check the data; do not train."}
    )

    @property
    def traces(self) -> TracesFolder:
        return TracesFolder(Path(self.data), self.held_out_share)


@dataclass
class SFTArguments(DataArguments):
    """SFT's own."""

    whole_text_share: float = field(
        default=0.0,
        metadata={"help": "Share of walks supervised on every token, prompt and replies included. For models too small "
                  "to come with reading skills of their own; 0 for pretrained ones."},
    )  # fmt: skip


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
