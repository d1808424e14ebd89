"""Words in any script: whole where marks stand on them, one a character where no spaces stand between them."""

import unicodedata
from itertools import pairwise

import bm25s
from hypothesis import given
from hypothesis import strategies as st

from data_gen.captions.captioner import clean_caption, thinned
from data_gen.captions.lines_captioner import chosen
from evaluation.policies.notes import sentences
from evaluation.policies.retrieval import LeafIndex
from navigation import CaptionTree, Line, LineAnswerer, Search, TimeGrid
from navigation.tools import rank
from navigation.words import count_words, first_words, snippet, terms, tokens_of, word_spans, words_in

CHINESE = ("他打开冰箱", "她在喝水", "猫在睡觉", "他把鸡蛋打进碗里")


def tree_of(texts):
    grid = TimeGrid(10.0 * len(texts), len(texts), 1)
    return CaptionTree("v", grid, dict(zip(grid.paths(), texts, strict=True)))


def test_a_word_keeps_its_vowel_signs_and_accents():
    assert words_in("पानी पीना पुन:") == ["पानी", "पीना", "पुन"]
    assert words_in("كِتَابٌ") == ["كِتَابٌ"]
    assert words_in(unicodedata.normalize("NFD", "Nấu ăn, Café!")) == ["nấu", "ăn", "café"]
    assert words_in("น้ำ") == ["น้", "ำ"]
    assert words_in("Don't_x 3.5 鸡蛋カ") == ["don", "t_x", "3", "5", "鸡", "蛋", "カ"]


def test_a_word_is_found_where_it_stands_and_not_where_a_letter_of_it_does():
    tree = tree_of(["लड़का पानी भरता है", "औरत दूध पीना चाहती है", "पुन: आता है"])
    assert Search().reply(tree, "पानी").splitlines() == ["लड़का पानी भरता है [1] 0:00-0:10"]
    composed, apart = (unicodedata.normalize(form, "nấu ăn") for form in ("NFC", "NFD"))
    assert "[2]" in Search().reply(tree_of(["x", apart]), composed)


LATIN = st.text(st.characters(max_codepoint=0x2FF, exclude_characters="İ"), max_size=60)  # its small letter has a mark


@given(LATIN)
def test_where_spaces_stand_between_words_they_are_those_of_bm25s(text):
    (tokens,) = bm25s.tokenize(
        [unicodedata.normalize("NFC", text)], stopwords=None, show_progress=False, return_ids=False
    )
    assert tokens_of(text) == [token for token in tokens if token]


@given(st.text(max_size=200))
def test_shown_words_hold_every_sign_once_and_in_order(text):
    line = " ".join(text.split())
    spans = word_spans(line)
    assert "".join(line[begin:end] for begin, end in spans) == line.replace(" ", "")
    assert all(one[1] <= two[0] for one, two in pairwise(spans))
    assert count_words(text) == len(spans)


@given(st.text(max_size=200), st.integers(1, 12))
def test_first_words_are_so_many_and_begin_the_line(text, most):
    cut = first_words(text, most)
    assert " ".join(text.split()).startswith(cut)
    assert count_words(cut) == min(most, count_words(text))
    assert len(cut) <= most * 41 or any(unicodedata.category(sign)[0] == "M" for sign in cut)


def test_a_result_shows_so_many_words_of_what_has_no_spaces():
    texts = ["他在厨房里走来走去。" * 40 + "他把鸡蛋打进碗里。" + "然后他洗手。" * 40, "x"]
    (line,) = Search().reply(tree_of(texts), "鸡蛋").splitlines()
    shown = line.removesuffix(" [1] 0:00-0:10")
    assert "鸡蛋" in shown
    assert count_words(shown.strip("… ")) == 20
    assert len(snippet("https://example.com/" + "a" * 5000, set(terms("example")), 20)) <= 20 * 40 + 4


def test_lines_and_leaves_are_ranked_by_what_is_asked():
    assert rank("他把鸡蛋打进哪里？", list(CHINESE))[0] == 3
    grid = TimeGrid(40.0, 2, 1)
    lines = tuple(Line(number, number + 1.0, text) for number, text in enumerate(CHINESE))
    tree = CaptionTree("v", grid, dict.fromkeys(grid.paths(), "x"), {}, lines)
    assert LineAnswerer(1).answer(tree, (1,), "他把鸡蛋打进哪里？") == CHINESE[3]
    assert LeafIndex(tree_of(CHINESE)).search("谁打了鸡蛋？", 1) == [(4,)]
    assert len(sentences("他打开冰箱。她在喝水！猫在睡觉")) == 3


def test_a_caption_without_spaces_keeps_its_word_limit():
    assert clean_caption("他打开冰箱。她在喝水。猫在睡觉。", 13) == "他打开冰箱。她在喝水。"
    assert clean_caption("他打开冰箱", 3) == "他打开 …"
    assert thinned(CHINESE, 12) == [CHINESE[0]]
    assert thinned(CHINESE, 13) == [CHINESE[0], CHINESE[3]]
    assert sum(map(count_words, chosen(list(CHINESE), 10))) <= 10
