"""What lets a long, paid run lose nothing: journal, lock, endpoint with retries, budget, progress, executors.

The caption stage and the teacher stage are built on it. In short:

    with RunLock(out / ".run" / "lock"):                        # a second run of `out` is refused, a dead one is not
        with Journal(out / ".run" / "x.jsonl", settings) as journal:   # other settings are refused, difference shown
            if key not in journal:
                completion = await endpoint.chat(messages, max_tokens=300, accept=check)
                journal.append(key, {"text": …, "usage": completion.usage.to_dict()})
            journal[key]                                        # read back from disk, nothing kept in memory

A record is in the journal when `append` returns: a killed process loses none, a machine that loses power at most
`sync_seconds` of them.
"""

from runtime.budget import Budget, BudgetExceeded, PriceTable, Usage
from runtime.endpoint import (
    Endpoint,
    EndpointDown,
    EndpointFailed,
    EndpointSettings,
    Filtered,
    OutOfContext,
    Unacceptable,
)
from runtime.executors import executor_logs, make_executor, run_step, stop_when_orphaned
from runtime.fingerprint import differences, file_identity, keep_settings, refuse_other, settings_hash
from runtime.journal import Journal
from runtime.lock import RunLock
from runtime.progress import Progress
from runtime.reply import Completion
from runtime.request_body import PRESETS, BodyOptions

__all__ = [
    "PRESETS",
    "BodyOptions",
    "Budget",
    "BudgetExceeded",
    "Completion",
    "Endpoint",
    "EndpointDown",
    "EndpointFailed",
    "EndpointSettings",
    "Filtered",
    "Journal",
    "OutOfContext",
    "PriceTable",
    "Progress",
    "RunLock",
    "Unacceptable",
    "Usage",
    "differences",
    "executor_logs",
    "file_identity",
    "keep_settings",
    "make_executor",
    "refuse_other",
    "run_step",
    "settings_hash",
    "stop_when_orphaned",
]
