from hypothesis import given
from hypothesis import strategies as st

from data_gen.corpora.nextgqa import HIGH, LEAF, MEDIUM, NOTHING, extract

PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=120).filter(str.strip)


@given(st.integers(1, 60), st.dictionaries(st.integers(0, 59), PLAIN, max_size=20))
def test_any_texts_give_a_whole_tree_of_short_captions(duration, seconds):
    inside = {second: text for second, text in seconds.items() if second < duration}
    tree = extract("v", float(duration), inside, "test")
    assert not tree.missing()
    assert [line.text for line in tree.lines] == [text for _, text in sorted(inside.items())]
    for path, caption in tree.captions.items():
        assert caption.strip()
        assert len(caption.split()) <= {1: HIGH, 2: MEDIUM, 3: LEAF}[len(path)]


def scenes(second):
    thing = ["dog", "cat", "bird", "horse"][second // 10]
    return f"The image shows a {thing} eating. The overall ambiance is calm. There is a wooden floor in the room."


def test_captions_are_about_their_own_segment():
    tree = extract("v", 40.0, {second: scenes(second) for second in range(40)}, "test")
    for place, thing in enumerate(["dog", "cat", "bird", "horse"], 1):
        for path, caption in tree.captions.items():
            assert (thing in caption) == (path[0] == place)


def test_the_preamble_goes_and_a_sentence_is_told_once():
    tree = extract("v", 40.0, {second: scenes(second) for second in range(40)}, "test")
    assert tree.captions[(1,)].startswith("A dog eating.")
    for caption in tree.captions.values():
        assert caption.count("wooden floor") <= 1


def test_what_is_short_lived_reaches_its_leaf():
    seconds = dict.fromkeys(range(128), "A man stands still. The wall is white.")
    seconds[57] = "A man throws a javelin. The wall is white."
    tree = extract("v", 128.0, seconds, "test")
    leaf = tree.grid.path_at(57.5)
    assert "javelin" in tree.captions[leaf]
    assert not any("javelin" in text for path, text in tree.captions.items() if len(path) == 3 and path != leaf)
    assert "javelin" in tree.captions[leaf[:2]]


def test_leaves_shorter_than_a_second_show_the_second_of_their_centre():
    tree = extract("v", 10.0, {second: f"Scene number{second} is here." for second in range(10)}, "test")
    for path in tree.grid.paths(3):
        start, end = tree.grid.interval(path)
        assert f"number{int((start + end) / 2)} " in tree.captions[path]


def test_a_second_without_caption_is_said_to_have_none():
    assert set(extract("v", 10.0, {}, "test").captions.values()) == {NOTHING}


def test_one_sentence_above_the_limit_is_cut():
    tree = extract("v", 10.0, {0: "word " * 500}, "test")
    assert len(tree.captions[(1, 1, 1)].split()) == LEAF
