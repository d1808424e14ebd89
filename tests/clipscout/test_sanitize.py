"""Nothing that steers a reader passes `sanitize`."""

import unicodedata

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipscout.web.pages import sanitize, sanitize_all

PATIENT = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@PATIENT
@given(st.text(st.characters()))
def test_what_is_left_steers_nothing(text):
    left = sanitize(text)
    assert all(unicodedata.category(sign) not in ("Cc", "Cs", "Zl", "Zp") or sign in "\n\t" for sign in left)
    assert not any(unicodedata.bidirectional(sign) in BIDI for sign in left)
    left.encode()
    assert sanitize(left) == left


def test_scripts_that_need_joiners_keep_them():
    for text in ("👩‍🚀", "नमस्ते क्‍ष", "می‌خواهم", "שלום", "مرحبا", "日本語", "tab\tline\n"):
        assert sanitize(text) == text


@PATIENT
@given(
    st.recursive(st.text() | st.none() | st.integers(), lambda each: st.lists(each) | st.dictionaries(st.text(), each))
)
def test_every_text_inside_is_reached(value):
    def texts(each):
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            for key, inner in each.items():
                yield from (key, *texts(inner))
        elif isinstance(each, list):
            for inner in each:
                yield from texts(inner)

    assert all(sanitize(text) == text for text in texts(sanitize_all(value)))
