from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from data_gen.corpora.corpus import balanced_letter, generator, keep, place_answer, shuffled
from navigation import Question


def questions(count):
    return [Question(f"q{n}", "v", "?", ("a", "b"), "A", (), 10.0) for n in range(count)]


@given(st.integers(2, 8), st.integers(0, 40), st.integers())
def test_letters_are_balanced_in_every_group(count, asked, seed):
    letters = Counter(balanced_letter(number, count, seed) for number in range(asked))
    found = [letters["ABCDEFGH"[n]] for n in range(count)]
    assert max(found) - min(found) <= 1


def test_letters_do_not_follow_the_order_of_questions():
    blocks = {tuple(balanced_letter(4 * block + n, 4, "s") for n in range(4)) for block in range(20)}
    assert len(blocks) > 5


@given(st.lists(st.integers(), max_size=30), st.integers())
def test_shuffled_is_a_permutation_and_repeatable(items, seed):
    first = list(shuffled(items, generator(seed)))
    assert sorted(first) == sorted(items)
    assert first == list(shuffled(items, generator(seed)))


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 3))
def test_a_limit_keeps_order_and_a_smaller_one_keeps_a_part(count, limit, seed):
    everything = questions(count)
    kept = keep(everything, seed, limit)
    assert len(kept) == min(count, limit)
    assert kept == [question for question in everything if question in kept]
    assert {q.id for q in keep(everything, seed, max(1, limit // 2))} <= {q.id for q in kept}


def test_a_limit_is_no_head_and_follows_the_seed():
    everything = questions(200)
    picks = {tuple(q.id for q in keep(everything, seed, 10)) for seed in range(5)}
    assert len(picks) == 5
    assert tuple(q.id for q in everything[:10]) not in picks


def test_the_right_option_stands_under_its_letter():
    for position, letter in enumerate("ABCD"):
        options = place_answer("right", ["x", "y", "z"], letter)
        assert options[position] == "right"
        assert sorted(options) == ["right", "x", "y", "z"]
