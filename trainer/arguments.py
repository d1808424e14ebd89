"""What a training run is told besides trl's own options."""

from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset

from trainer.data import SetsFolder, TracesFolder, open_data


@dataclass
class DataArguments:
    """Where the data is, and how it is split."""

    data: str = field(metadata={"help": "Folder of `make traces`, or of the sets that `make dataset` made of it."})
    held_out_share: float = field(
        default=0.1, metadata={"help": "Share of videos kept from training. Sets have their own split."}
    )
    trees: str | None = field(
        default=None, metadata={"help": "Folder of caption trees; default: `trees` in `data`, or beside it for sets."}
    )
    dry_run: bool = field(
        default=False, metadata={"help": "Print and write the resolved config and check the data; do not train."}
    )

    @property
    def opened(self) -> TracesFolder | SetsFolder:
        return self._open(self.data)

    def _open(self, folder: str) -> TracesFolder | SetsFolder:
        return open_data(Path(folder), self.held_out_share, Path(self.trees) if self.trees is not None else None)


@dataclass
class SFTArguments(DataArguments):
    """SFT's own."""

    too_long: str = field(
        default="drop", metadata={"help": "A sample over max_length: `drop` it, or `cut` it after a whole turn."}
    )
    whole_text_share: float = field(
        default=0.0,
        metadata={"help": "Share of walks supervised on every token, prompt and replies included. For models too small "
                  "to come with reading skills of their own; 0 for pretrained ones."},
    )  # fmt: skip
    longest_first: bool = field(
        default=True, metadata={"help": "Begin the first two steps with the longest samples: too little memory shows."}
    )
    navigation_questions: int = field(
        default=0, metadata={"help": "Held-out questions that the model plays at each evaluation; 0 plays none."}
    )
    navigation_data: str | None = field(
        default=None, metadata={"help": "Folder whose held-out questions are played; default: `data`."}
    )
    navigation_turns: int = field(default=15, metadata={"help": "Most turns of such an episode."})
    navigation_tokens: int = field(default=12288, metadata={"help": "Most tokens of such an episode after its prompt."})
    early_stopping_patience: int = field(
        default=0,
        metadata={"help": "Stop after this many evaluations without a better metric_for_best_model; 0: never."},
    )

    def sft_dataset(self, held: bool) -> Dataset:
        """Rows of `messages` and `tools`, of a traces folder or of a set that `clipscout dataset` wrote."""
        return self.opened.sft_dataset(held)

    @property
    def navigation_traces(self) -> TracesFolder | SetsFolder:
        """Where played questions come from."""
        return self._open(self.navigation_data or self.data)
