"""How long to wait before asking again."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def backoff_seconds(attempt: int, first: float, longest: float, chance: random.Random) -> float:
    """Exponential with full jitter: uniform in `(0, min(longest, first · 2^(attempt-1))]` for attempt 1, 2, …

    Full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015) spreads clients that failed at the same moment.
    """
    return min(longest, first * 2.0 ** min(attempt - 1, 30)) * (1.0 - chance.random())


def retry_after_seconds(headers: Mapping[str, str], longest: float) -> float | None:
    """What a reply's `retry-after-ms` or `Retry-After` asks for (seconds or an HTTP date), at most `longest`."""
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        elif "retry-after" in headers:
            wait = float(headers["retry-after"])
        else:
            return None
    except ValueError:
        try:
            wait = (parsedate_to_datetime(headers["retry-after"]) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, KeyError):
            return None
    return min(longest, max(0.0, wait)) if wait == wait else None
