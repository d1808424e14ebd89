"""How a training run ends when it does not finish: what to do next in words, and an exit code of its own."""

PREEMPTED = 75
"""Exit code of a run that was told to stop and saved itself (EX_TEMPFAIL): start it again and it goes on."""


class TrainingFailed(RuntimeError):
    """A run that cannot go on: a loss that is no number, no memory, no disk. The message names the mend."""


class Preempted(Exception):
    """A run that was told to stop, and stopped after saving.

    Args:
        step: Optimizer steps done.
        checkpoint: The folder to go on from.
    """

    def __init__(self, step: int, checkpoint: str) -> None:
        super().__init__(f"told to stop: saved step {step} to {checkpoint}; run the same command again to go on")
        self.step, self.checkpoint = step, checkpoint
