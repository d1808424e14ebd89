import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.endpoint import backoff_seconds
from runtime.reply import retry_after_seconds


@given(attempt=st.integers(1, 200), seed=st.integers())
def test_waits_grow_up_to_the_bound(attempt, seed):
    wait = backoff_seconds(attempt, 1.0, 60.0, random.Random(seed))
    assert 0 < wait <= min(60.0, 2.0 ** min(attempt - 1, 30))


def test_waits_of_clients_differ():
    assert len({backoff_seconds(3, 1.0, 60.0, random.Random(seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "3"}, 3.0), ({"retry-after-ms": "1500"}, 1.5), ({"retry-after": "9999"}, 60.0), ({}, None),
        ({"retry-after": "soon"}, None), ({"retry-after": "-5"}, None),
        ({"retry-after": "0"}, None), ({"retry-after-ms": "0"}, None), ({"retry-after": "nan"}, None),
    ],
)  # fmt: skip
def test_retry_after(headers, wait):
    assert retry_after_seconds(headers, 60.0) == wait


def test_retry_after_a_date():
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=20), usegmt=True)
    assert retry_after_seconds({"retry-after": past}, 60.0) is None
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert 15 < retry_after_seconds({"retry-after": date}, 60.0) <= 20
