import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_gen.captions.captioner import clean_caption, thinned, without_repeats
from data_gen.captions.settings import PROMPTS, Prompts
from navigation import InputError


@pytest.mark.parametrize(
    ("reply", "limit", "caption"),
    [
        ("  A man\n\nwalks. ", 5, "A man walks."),
        ("<think>hm</think>A man walks.", 5, "A man walks."),
        ("<think>never ends", 5, ""),
        ("One two three. Four five six.", 4, "One two three."),
        ("One. two three four five six seven", 6, "One. two three four five six …"),
        ("", 5, ""),
    ],
)
def test_clean_caption(reply, limit, caption):
    assert clean_caption(reply, limit) == caption


@given(st.text(), st.integers(1, 20))
def test_no_caption_is_longer_than_its_limit(reply, limit):
    assert len(clean_caption(reply, limit).removesuffix(" …").split()) <= limit


def test_rolling_captions_are_said_once():
    assert without_repeats(["so", "so we", "so we go", "we go", "home", "home", " "]) == ["so we go", "home"]


@given(st.lists(st.text("ab ", min_size=1), max_size=12), st.integers(1, 20))
def test_thinned_keeps_order_and_limit(texts, limit):
    kept = thinned(texts, limit)
    assert sum(len(text.split()) for text in kept) <= limit
    if sum(len(text.split()) for text in texts) <= limit and len(texts) > 1:
        assert kept == texts


def test_thinned_spreads_evenly():
    assert thinned(["a", "b", "c", "d", "e"], 3) == ["a", "c", "e"]


def test_a_day_of_subtitles_is_thinned_at_once():
    texts = [f"word {number}" for number in range(40_000)]
    kept = thinned(texts, 160)
    assert len(kept) == 80
    assert (kept[0], kept[-1]) == (texts[0], texts[-1])


def test_shipped_prompts_and_their_hash(tmp_path):
    shipped = Prompts.load()
    for name in ("caption_frames.txt", "caption_children.txt"):
        (tmp_path / name).write_bytes((PROMPTS / name).read_bytes())
    assert Prompts.load(tmp_path).sha256 == shipped.sha256
    (tmp_path / "caption_frames.txt").write_text("Describe $frame_count frames in $words words for $$5.")
    assert Prompts.load(tmp_path).sha256 != shipped.sha256
    assert Prompts.load(tmp_path).frames.substitute(frame_count=2, words=3) == "Describe 2 frames in 3 words for $5."


@pytest.mark.parametrize("text", ["$nobody", "100 $"])
def test_a_prompt_with_an_unknown_place_is_refused(tmp_path, text):
    (tmp_path / "caption_frames.txt").write_text(text)
    (tmp_path / "caption_children.txt").write_text("x")
    with pytest.raises(InputError) as error:
        Prompts.load(tmp_path)
    assert (error.value.source, error.value.field) == (str(tmp_path / "caption_frames.txt"), "places")
