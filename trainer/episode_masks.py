"""Which episodes teach: statuses whose tokens carry no loss, and whose rewards count for no baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navigation import InputError, Status

CHOICES = ("masked", "penalised")
SOURCE = "grpo config"


@dataclass(frozen=True)
class EpisodeMasks:
    """What becomes of an episode by its status.

    `masked`: no token of it carries a loss and its reward stays out of the group's mean. `penalised`: it is trained on
    as the reward's `format` part has it. An answered episode is always trained on.

    Args:
        masked: The statuses that are masked.
    """

    masked: frozenset[Status] = frozenset({Status.FAILED})

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "EpisodeMasks":
        """Reads `{status: masked | penalised}`. What is left out: `failed` is masked, the others are penalised.

        Raises:
            InputError: an unknown status, an unknown choice, or `answered`.
        """
        if config is None:
            return cls()
        if not isinstance(config, Mapping):
            raise InputError(SOURCE, "episodes", config, "give a mapping from a status to masked or penalised")
        endings = [status for status in Status if status is not Status.ANSWERED]
        masked = set(cls().masked)
        for name, choice in config.items():
            if name not in endings:
                raise InputError(SOURCE, f"episodes.{name}", choice, f"give one of {', '.join(endings)}")
            if choice not in CHOICES:
                raise InputError(SOURCE, f"episodes.{name}", choice, f"give {' or '.join(CHOICES)}")
            status = Status(name)
            masked = masked | {status} if choice == "masked" else masked - {status}
        return cls(frozenset(masked))
