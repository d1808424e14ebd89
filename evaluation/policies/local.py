"""A checkpoint on this machine as a policy; it lives with the trainer, which plays it while it trains."""

from trainer.local_policy import LocalPolicy

__all__ = ["LocalPolicy"]
