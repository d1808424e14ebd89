import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_gen.filters import FilterReport, FilterSettings, NearDuplicates, faults, filter_trajectories
from data_gen.filters.rejection import shingles
from navigation import (
    CaptionTree,
    InputError,
    Question,
    Status,
    TimeGrid,
    Trajectory,
    TreeStore,
    Visit,
    answer_message,
    assistant_message,
    initial_messages,
)
from navigation.prompt import caption_line

GRID = TimeGrid(640.0, 4, 3)
TREE = CaptionTree("v", GRID, dict.fromkeys(GRID.paths(1), "a room"))
QUESTION = Question("q", "v", "What colour is the ball?", ("red", "blue"), "B", ((165.0, 168.0),), 640.0)


def make(paths=((2, 1), (2, 1, 1)), letter="B", number=0, question=QUESTION, hints=0, refused=0, reasoning="I look."):
    messages = initial_messages(question, TREE)
    for path in paths:
        messages.append(assistant_message(reasoning, calls=[("get_caption", {"segment": list(path)})]))
        messages.append({"role": "tool", "name": "get_caption", "content": "a ball"})
    messages.append(answer_message(f"It is blue, trajectory {number}.", letter))
    visits = [Visit("get_caption", path) for path in paths]
    return Trajectory(
        f"{question.id}#{number}", question.id, "v", messages, [], letter, letter == question.answer, Status.ANSWERED,
        visits, refused, len(paths) + 1, teacher={"hints": hints},
    )  # fmt: skip


def reasons(trajectory, question=QUESTION, **settings):
    return faults(trajectory, question, GRID, FilterSettings(**settings))


def test_a_sound_trajectory_has_no_fault():
    assert reasons(make()) == []


def test_each_fault_is_found_and_can_be_allowed():
    assert reasons(make(letter="A")) == ["wrong"]
    assert reasons(make(paths=())) == ["closed_book"]
    assert reasons(make(paths=((1, 1),))) == ["ungrounded"]
    assert reasons(make(paths=((2, 1), (2, 1)))) == ["repeats"]
    assert reasons(make(refused=1)) == ["void_turns"]
    assert reasons(make(hints=1, reasoning="The hint says so.")) == ["leak_hint"]
    assert reasons(make(paths=((2, 1), (2, 1), (3, 1)), refused=2), repeats=False, void_turns=False) == []


def read(caption, model):
    """A right trajectory that opened one leaf, with this caption."""
    trajectory = make(paths=((2, 1, 1),))
    trajectory.messages[-2]["content"] = caption_line(GRID, (2, 1, 1), caption)
    trajectory.teacher = {"model": model}
    return trajectory


@pytest.mark.parametrize(
    ("unsupported", "model", "dropped"),
    [
        ("derived", "expert", True),
        ("derived", "Qwen3-32B", False),
        ("drop", "Qwen3-32B", True),
        ("keep", "expert", False),
    ],
)
def test_an_answer_that_nothing_read_supports(unsupported, model, dropped, tmp_path):
    settings = FilterSettings(unsupported=unsupported)
    assert reasons(read("A blue ball.", model), unsupported=unsupported) == []
    assert reasons(read("A red ball.", model), unsupported=unsupported) == ["unsupported"] * dropped
    report = FilterReport()
    TreeStore(tmp_path).save(TREE)
    kept = filter_trajectories([read("A ball.", model)], {"q": QUESTION}, TreeStore(tmp_path), settings, report)
    assert len(list(kept)) == 1 - dropped
    assert report.unsupported == 1
    assert report.dropped["unsupported"] == dropped


def test_who_says_what_is_supported_can_be_another():
    trajectory = read("A red ball.", "expert")
    assert faults(trajectory, QUESTION, GRID, FilterSettings(), lambda question, each: True) == []
    trajectory.teacher["supported"] = True
    assert reasons(trajectory) == []


def test_trajectories_with_more_hints_than_allowed_are_dropped():
    assert reasons(make(hints=2), most_hints=1) == ["hinted"]
    assert reasons(make(hints=1), most_hints=1) == reasons(make(hints=9)) == []


def test_a_trajectory_without_hints_cannot_leak():
    assert reasons(make(hints=0, reasoning="The hint says so.")) == []


def test_an_unfinished_trajectory_is_not_answered():
    trajectory = make()
    trajectory.status = Status.OUT_OF_TURNS
    assert reasons(trajectory) == ["not_answered"]


def test_a_segment_that_only_touches_the_clue_does_not_count():
    question = Question("q", "v", "?", ("red", "blue"), "B", ((160.0, 168.0),), 640.0)
    assert reasons(make(paths=((1, 4),)), question) == ["ungrounded"]
    instant = Question("q", "v", "?", ("red", "blue"), "B", ((160.0, 160.0),), 640.0)
    assert reasons(make(paths=((1, 4),)), instant) == ["ungrounded"]
    assert reasons(make(paths=((2, 1),)), instant) == []


@pytest.mark.parametrize(("text", "options", "copied"), [
    ("What does she put on?", ("coat", "hat"), False),
    ("Where is the hat?", ("coat", "hat"), True),
    ("Is it the man's hat, or whose?", ("coat", "Hat."), True),
    ("Which hats are these?", ("coat", "hat"), False),
    ("Who writes in C++ at the desk?", ("Ada", "C++"), True),
    ("Who writes in the lab?", ("Ada", "(in)"), False),
    ("Who is (in) now?", ("Ada", "(in)"), True),
    ("Is it -10 or colder outside?", ("warm", "-10"), True),
    ("Is it x-10 outside?", ("warm", "-10"), False),
    ("And then...?", ("no one", "..."), False),
    ("Where is the hat, and the coat?", ("coat", "hat"), False),
])  # fmt: skip
def test_copied_is_an_option_that_stands_in_the_question_word_for_word(text, options, copied):
    question = Question("q", "v", text, options, "B", ((165.0, 168.0),), 640.0)
    assert reasons(make(question=question), question) == (["copied"] if copied else [])


def test_an_answer_that_stands_in_the_question_is_copied():
    question = Question("q", "v", "Is the blue ball blue or grey?", ("red", "blue"), "B", ((165.0, 168.0),), 640.0)
    assert reasons(make(), question) == ["copied"]
    both = Question("q", "v", "Is the ball red or blue?", ("red", "blue"), "B", ((165.0, 168.0),), 640.0)
    assert reasons(make(), both) == []


@pytest.fixture
def trees(tmp_path):
    store = TreeStore(tmp_path)
    store.save(CaptionTree("v", GRID, dict.fromkeys(GRID.paths(), "a ball")))
    return store


def chosen(trajectories, trees, **settings):
    report = FilterReport()
    kept = filter_trajectories(trajectories, {"q": QUESTION}, trees, FilterSettings(**settings), report)
    return [trajectory.id for trajectory in kept], report


def test_first_shortest_and_all_are_kept_as_asked(trees):
    trajectories = [
        make(letter="A", number=0), make(((2, 1), (2, 1, 1), (2, 1, 2)), number=1), make(((2, 1),), number=2),
        make(((2, 1), (2, 1, 1)), number=3),
    ]  # fmt: skip
    assert chosen(trajectories, trees, keep="first")[0] == ["q#1"]
    assert chosen(trajectories, trees, keep="shortest")[0] == ["q#2"]
    assert chosen(trajectories, trees, keep="all")[0] == ["q#1", "q#2", "q#3"]


def test_the_report_adds_up(trees):
    trajectories = [
        make(letter="A"),
        make(()),
        make(((1, 1),)),
        make(((2, 1), (2, 1)), refused=1),
        make(),
        make(number=5),
    ]
    kept, report = chosen(trajectories, trees, keep="all")
    assert (report.trajectories, report.kept, len(kept)) == (6, 1, 1)
    assert sum(report.dropped.values()) + report.kept == report.trajectories
    assert report.found["void_turns"] == report.found["repeats"] == 1
    assert report.dropped["near_duplicate"] == 1
    assert (report.right, report.closed_book, report.closed_book_share) == (5, 2, 0.4)


def test_an_unknown_question_and_an_unsorted_file_are_refused(trees):
    with pytest.raises(InputError) as error:
        list(filter_trajectories([make()], {}, trees))
    assert error.value.field == "question_id"
    assert error.value.value == "q"
    other = Question("p", "v", "?", ("a", "b"), "B", (), 640.0)
    with pytest.raises(InputError) as error:
        list(filter_trajectories([make(), make(question=other), make()], {"q": QUESTION, "p": other}, trees))
    assert error.value.field == "question_id"
    assert error.value.value == "q"


def test_near_duplicates_are_trajectories_of_one_question_that_say_nearly_the_same():
    seen = NearDuplicates(0.9)
    assert not seen.add(make())
    assert seen.add(make(reasoning="Other words altogether, the same steps."))
    long = "The captions speak of a street, of a house and of a garden with many trees, so I look on."
    assert not seen.add(make(((2, 1), (2, 1, 2)), reasoning=long))
    assert seen.add(make(((2, 1), (2, 1, 2), (2, 1, 2)), reasoning=long))
    assert not seen.add(make(((3, 1), (3, 1, 2)), reasoning="I go elsewhere."))
    other = Question("p", "v", "Which ball is it?", ("red", "blue"), "B", ((165.0, 168.0),), 640.0)
    assert not seen.add(make(question=other))


@given(st.lists(st.sampled_from(["red", "Blue", "häuser", "x", "car", "dog9"]), max_size=40), st.data())
def test_shingles_are_the_runs_of_three_words_whatever_stands_between(words, data):
    between = st.sampled_from([" ", ", ", ".\n", " - "])
    reasoning = "".join(word + data.draw(between) for word in words)
    trajectory, plain = make((), reasoning=reasoning), make((), reasoning=reasoning)
    trajectory.messages[-1]["reasoning_content"] = reasoning
    plain.messages[-1]["reasoning_content"] = " ".join(words).lower()
    runs = {tuple(word.lower() for word in words[start : start + 3]) for start in range(max(1, len(words) - 2))}
    assert len(shingles(trajectory)) == len(runs)
    assert list(shingles(trajectory)) == list(shingles(plain))
