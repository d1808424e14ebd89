"""What a training run is told besides trl's own options."""

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
