import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_gen.corpora.actions import Action, AnnotatedVideo
from data_gen.corpora.compose import HIGH, LEAF, MEDIUM, NOTHING, compose
from navigation import CaptionTree, TimeGrid


@st.composite
def videos(draw):
    steps, time = [], 0.0
    for number in range(draw(st.integers(0, 40))):
        start = time + draw(st.floats(0, 30))
        end = start + draw(st.floats(0.2, 90))
        parts = tuple(
            Action(place, start, start + draw(st.floats(0.1, 90)), f"part{number}x{place} of many words here")
            for place in range(draw(st.integers(0, 4)))
        )
        summary = tuple(f"summary{number}" for _ in range(draw(st.integers(0, 2))))
        steps.append(Action(number, start, end, f"step{number}x does things to it", "", summary, parts))
        time = end
    duration = time + 100.0
    return AnnotatedVideo("v", duration, "the goal", (0.0, duration), steps)


@given(videos())
def test_every_caption_is_there_short_and_about_its_segment(video):
    tree = compose(video, "test")
    assert not tree.missing()
    for path, caption in tree.captions.items():
        assert caption.strip()
        assert len(caption.split()) <= {1: HIGH, 2: MEDIUM, 3: LEAF}[len(path)]
        start, end = tree.grid.interval(path)
        for step in video.steps:
            if f"tep{step.number}x" in caption:
                assert step.start < end
                assert step.end > start


@given(videos())
def test_every_step_is_told_at_a_leaf_or_left_out_with_a_note(video):
    tree = compose(video, "test")
    leaves = [caption for path, caption in tree.captions.items() if len(path) == tree.grid.depth]
    told = " ".join(leaves)
    for step in video.steps:
        assert f"tep{step.number}x" in told or "left out" in told


def tree_of(*steps, duration=640.0, goal="", width=4):
    video = AnnotatedVideo("v", duration, goal, (0.0, duration), steps)
    return compose(video, "test", TimeGrid(duration, width))


def test_texts_stand_in_time_order_and_neighbours_that_repeat_are_one():
    tree = tree_of(
        Action(0, 0, 2, "cut onion"), Action(1, 2, 4, "Cut onion"), Action(2, 4, 6, "wash hands."),
        Action(3, 6, 9, "cut onion"),
    )  # fmt: skip
    assert tree.captions[(1, 1, 1)] == "Cut onion. Wash hands. Cut onion."


def test_leaves_tell_parts_and_high_segments_goal_and_steps():
    part = Action(0, 0, 5, "open tap")
    tree = tree_of(Action(0, 0, 9, "wash rice", "", ("rinse twice",), (part,)), goal="make dinner")
    assert tree.captions[(1, 1, 1)] == "Wash rice: open tap."
    assert tree.captions[(1,)] == "Goal: Make dinner. Wash rice: rinse twice."
    assert tree.captions[(2,)] == f"Goal: Make dinner. {NOTHING}"
    assert tree.captions[(2, 1)] == tree.captions[(2, 1, 1)] == NOTHING


def test_a_part_outside_its_step_is_told_where_it_is():
    tree = tree_of(Action(0, 0, 9, "wash rice", "", (), (Action(0, 42, 48, "open tap"),)))
    assert tree.captions[(1, 1, 1)] == "Wash rice."
    assert tree.captions[(1, 2, 1)] == "Open tap."


def test_a_step_is_continued_only_where_the_segment_before_shows_it():
    tree = tree_of(Action(0, 3, 25, "knead dough"))
    assert tree.captions[(1, 1, 1)] == "Knead dough."
    assert tree.captions[(1, 1, 2)] == tree.captions[(1, 1, 3)] == "Knead dough (continued)."
    brushed = tree_of(Action(0, 9.5, 25, "knead dough"))
    assert brushed.captions[(1, 1, 1)] == NOTHING
    assert brushed.captions[(1, 1, 2)] == "Knead dough."


def test_too_many_steps_keep_the_longest_and_say_how_many_are_left_out():
    steps = [
        Action(n, n * 0.5, n * 0.5 + (4 if n == 7 else 0.5), f"step {n} with a text of eight words") for n in range(18)
    ]
    caption = tree_of(*steps).captions[(1, 1, 1)]
    assert "Step 7 " in caption
    assert "shorter actions left out" in caption
    assert len(caption.split()) <= LEAF


def test_the_top_tells_main_actions_only_and_the_level_below_tells_all():
    long = [Action(0, 0, 60, "knead dough"), Action(1, 60, 100, "heat oven")]
    short = [Action(2 + n, 100 + 10 * n, 110 + 10 * n, f"wipe spot{n}") for n in range(5)]
    tree = tree_of(*long, *short)
    assert tree.captions[(1,)] == "Knead dough. Heat oven. Wipe spot0. (4 shorter actions left out.)"
    below = " ".join(tree.captions[(1, child)] for child in range(1, 5))
    assert all(f"Wipe spot{n}." in below for n in range(5))
    assert "left out" not in below


def test_lines_hold_goal_steps_and_parts_with_their_times():
    tree = tree_of(Action(0, 5, 9, "wash rice", "", (), (Action(0, 6, 8, "open tap"),)), goal="make dinner")
    assert [(line.start, line.end, line.text) for line in tree.lines] == [
        (0.0, 640.0, "make dinner"), (5, 9, "wash rice"), (6, 8, "open tap"),
    ]  # fmt: skip


@pytest.mark.parametrize("duration", [1.0, 10.0, 100.0, 7200.0, 86400.0])
def test_any_length_composes_and_reads_back(duration):
    step = Action(0, duration / 3, duration / 2, "wash rice")
    tree = compose(AnnotatedVideo("v", duration, "dinner", (0.0, duration), [step]), "test")
    assert CaptionTree.from_dict(tree.to_dict()) == tree
    assert any("Wash rice" in caption for path, caption in tree.captions.items() if len(path) == 3)
