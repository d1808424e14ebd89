"""Times and spans as they are written: what is read, and that nothing else becomes a span."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navigation.times import LONGEST, find_spans, read_spans, read_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("75", 75), ("75.5", 75.5), ("75s", 75), ("75 sec", 75), ("1:15", 75), ("01:15.25", 75.25), ("1:02:03", 3723),
        ("75:12", 4512), ("1m15s", 75), ("5 minutes", 300), ("1 h 2 min 3 s", 3723), ("1.5 min", 90), ("75秒", 75),
        ("0:01:15.250", 75.25), ("00:01:15,500", 75.5), ("<TIME 00:01:15.250 video 1>", 75.25),
        ("1:75:00", None), ("5:75", None), ("", None), ("-5", None), ("5%", None), ("five", None), ("1:2:3:4", None),
        ("７５", None), ("9" * 400, None),
    ],
)  # fmt: skip
def test_times(text, seconds):
    assert read_time(text) == seconds


ONE = """
300-430 | 300.0 - 430.0 | 5:00-7:10 | 5:00 - 7:10 | 0:05:00-0:07:10 | 00:05:00,000 --> 00:07:10,000
5m-7m10s | 300s-430s
300–430 | 300—430 | 300−430 | 300~430 | 300…430 | 300 to 430 | 300-430 s | 300s-430 | 300 - 430 seconds
from 300 to 430
5 min to 7 min 10 s | between 300 and 430 | about 300-430 | t=300s-430s | 5：00－7：10 | 5分-7分10秒 | 300-430.
[300, 430] | [[300, 430]] | (300, 430) | [300-430] | ["5:00", "7:10"] | {"start": 300, "end": 430}
[{"start": "5:00", "end": "7:10"}]
"""
SEVERAL = [
    "300-430, 500-510", "5:00-7:10; 8:20-8:30", "300-430 and 500-510", "300s-430s\n500s-510s",
    "[[300, 430], [500, 510]]", '[["5:00", "7:10"], ["8:20", "8:30"]]',
]  # fmt: skip
NONE = """
around the middle | 430-300 | 7:10-5:00 | 5:75-6:10 | 1:75:00-1:76:00 | 5:00-430 | 5m-7 | 30%-40% | -5-10
5:12 | 300 | 300-430-500
segment 3 | 300, 430 | 12,5-16,0 | 5-7 min 10 s | 300 430 | ５-１０
"""


def forms(text):
    return [form for line in text.strip().splitlines() for form in line.split(" | ")]


@pytest.mark.parametrize("text", forms(ONE))
def test_one_span(text):
    assert read_spans(text) == ([(300.0, 430.0)], 0)


@pytest.mark.parametrize("text", SEVERAL)
def test_lists(text):
    assert read_spans(text) == ([(300.0, 430.0), (500.0, 510.0)], 0)


@pytest.mark.parametrize("text", [*forms(NONE), "1-2 " * LONGEST])
def test_what_is_not_understood_is_counted(text):
    spans, unread = read_spans(text)
    assert spans == []
    assert unread > 0


def test_what_is_understood_of_a_list_is_kept_beside_the_count():
    assert read_spans("300-430, around the middle, 510-500") == ([(300.0, 430.0)], 2)
    assert read_spans("") == ([], 0)


def test_clocks_only_and_moments():
    assert read_spans("300-430", clocks_only=True) == ([], 1)
    assert read_spans("5:00, 6:00-6:10", clocks_only=True, moments=True) == ([(300.0, 301.0), (360.0, 370.0)], 0)


CLOCK = st.integers(0, 35_999)
WRITTEN = st.sampled_from(
    [
        lambda t: str(t), lambda t: f"{t}.0", lambda t: f"{t}s", lambda t: f"{t // 60}:{t % 60:02d}",
        lambda t: f"{t // 3600}:{t // 60 % 60:02d}:{t % 60:02d}", lambda t: f"{t // 60}m{t % 60}s",
        lambda t: f"{t // 3600}h {t // 60 % 60}min {t % 60}s",
    ]
)  # fmt: skip


@given(
    st.lists(st.tuples(CLOCK, CLOCK, WRITTEN), min_size=1, max_size=4), st.sampled_from(["-", " - ", "–", " to ", "—"])
)
def test_what_is_written_in_one_form_is_read_back(spans, dash):
    spans = [(min(pair), max(pair), write) for *pair, write in spans]
    text = ", ".join(write(begin) + dash + write(end) for begin, end, write in spans)
    assert read_spans(text) == ([(float(begin), float(end)) for begin, end, _ in spans], 0)


@given(st.text(st.sampled_from("0123456789:.-–, []()smh\nto"), max_size=40) | st.text(max_size=40))
def test_spans_are_never_backwards_and_nothing_is_passed_over(text):
    spans, unread = read_spans(text)
    assert all(0 <= begin <= end for begin, end in spans)
    assert spans or unread or not any(sign.isalnum() for sign in text.replace("and", "").replace("to", ""))


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("What happens at 1:15?", [(75, 76)]),
        ("Between <TIME 00:00:03.720 video 1> and <TIME 00:00:10.000 video 1>, what is cut?", [(3.72, 10)]),
        ("From 0:03 to 0:10.5 and again at 1:02:03", [(3, 10.5), (3723, 3724)]),
        ("2:40-2:10 backwards", []), ("ratio 3 to 4, 16:9:1:2, 12 eggs", []), ("1:15 " * LONGEST, []),
    ],
)  # fmt: skip
def test_times_inside_a_text(text, spans):
    assert find_spans(text)[0] == spans
