import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navigation import (
    GET_CAPTION,
    VIDEO_QA,
    CaptionTree,
    InputError,
    NavigationEnvironment,
    Question,
    Visit,
    initial_messages,
    split_prompt,
)
from navigation.grid import format_path
from navigation.tools import parse_path

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**5000), 10**5000) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)
addresses = st.lists(st.integers(-1, 4), max_size=4)


@pytest.fixture
def environment(store):
    environment = NavigationEnvironment(store)
    environment.reset(video_id="v")
    return environment


def test_the_prompt_tells_the_shape_and_the_top_level_before_the_question(store):
    question = Question("q", "w", "Who?", ("he", "she"), "A")
    _, user = initial_messages(question, store["w"])
    shown = (
        "The video lasts 1:40. Its tree has 2 levels; segments split into 4.\n"
        "0:00-0:25 [1] caption of (1,)\n0:25-0:50 [2] caption of (2,)\n"
        "0:50-1:15 [3] caption of (3,)\n1:15-1:40 [4] caption of (4,)"
    )
    assert user == {"role": "user", "content": f"{shown}\n\nQuestion: Who?\nhe (A)\nshe (B)"}
    assert split_prompt(user["content"]) == (shown, "Who?\nhe (A)\nshe (B)")
    assert NavigationEnvironment(store).reset(video_id="w", question="?", prompt=[]) is None


def test_a_caption_is_read(environment):
    assert environment.get_caption([2, 3]) == "2:30-3:00 [2, 3] caption of (2, 3)"
    assert environment.visits == [Visit(GET_CAPTION, (2, 3))]
    assert environment.refusals == []


@pytest.mark.parametrize("segment", [[2, 3], (2, 3), "[2, 3]", "(2,3)", "2, 3", " [ 2 , 3 ] ", "2,3,"])
def test_addresses_are_read_as_models_write_them(environment, segment):
    assert environment.get_caption(segment).startswith("2:30-3:00 [2, 3]")


@pytest.mark.parametrize("segment", [2, "2", [2]])
def test_one_number_is_the_top_level(environment, segment):
    assert environment.get_caption(segment).startswith("1:30-3:00 [2]")


REFUSED = [
    (None, "list of whole numbers"), ("", "list of whole numbers"), ("two", "list of whole numbers"),
    ([], "list of whole numbers"), ([1.0], "list of whole numbers"), ([True], "list of whole numbers"),
    (True, "list of whole numbers"), (1.5, "list of whole numbers"), ({"a": 1}, "list of whole numbers"),
    ([[1]], "list of whole numbers"), (["1"], "list of whole numbers"), ("[1, 2] and [3]", "list of whole numbers"),
    ("1" + " " * 500 + "x", "list of whole numbers"), ("[١]", "list of whole numbers"), ("-1", "list of whole numbers"),
    ([1] * 1000, "list of whole numbers"), ([1, 1, 1, 1], "3 levels"), ([0], "no segment [0]"), ([4], "no segment [4]"),
    ([-1], "no segment [-1]"), ([1, 9], "between 1 and 3"), ([10**5000], "between 1 and 3"),
    ([-(10**5000)], "between 1 and 3"), ([1, 10**20], "between 1 and 3"),
]  # fmt: skip


@pytest.mark.parametrize(("segment", "says"), REFUSED, ids=range(len(REFUSED)))
def test_a_bad_address_is_refused_with_what_would_be_right(environment, segment, says):
    replies = [environment.get_caption(segment), environment.video_qa(segment, "who?")]
    assert all(reply.startswith("Error: ") and says in reply and len(reply) < 200 for reply in replies)
    assert environment.visits == []
    assert environment.refusals == replies


def test_a_missing_caption_is_refused(store):
    environment = NavigationEnvironment(store)
    environment.reset(video_id="holes")
    assert environment.get_caption([1, 1, 1]) == "Error: segment [1, 1, 1] has no caption yet. Open another segment."
    assert environment.visits == []


def test_video_qa_needs_a_leaf_whose_caption_was_read(environment):
    environment.get_caption([1, 1])
    assert "give 3 numbers, for example [1, 1, 1]" in environment.video_qa([1, 1], "who?")
    assert environment.video_qa([1, 1, 2], "who?") == "Error: read the caption first: get_caption([1, 1, 2])."
    environment.get_caption([1, 1, 2])
    assert environment.video_qa([1, 1, 2], "who?") == "line 1"
    assert "query" in environment.video_qa([1, 1, 2], " ")
    assert environment.visits == [
        Visit(GET_CAPTION, (1, 1)), Visit(GET_CAPTION, (1, 1, 2)), Visit(VIDEO_QA, (1, 1, 2), "who?"),
    ]  # fmt: skip
    assert len(environment.refusals) == 3


@pytest.mark.parametrize("query", [None, "", "\n", 5, ["who?"], {}])
def test_a_query_is_words(environment, query):
    environment.get_caption([1, 1, 1])
    assert environment.video_qa([1, 1, 1], query).startswith("Error: video_qa needs a query")


@given(st.lists(st.tuples(st.booleans(), json_values | addresses, json_values), max_size=6))
def test_no_call_raises_and_every_call_is_recorded_once(store, calls):
    environment = NavigationEnvironment(store)
    environment.reset(video_id="v")
    grid = store["v"].grid
    expected, refused, read = [], 0, set()
    for asks, segment, query in calls:
        reply = environment.video_qa(segment, query) if asks else environment.get_caption(segment)
        assert isinstance(reply, str)
        path = parse_path(segment)
        valid = path is not None and grid.contains(path)
        if asks:
            valid = valid and isinstance(query, str) and bool(query.strip()) and path in read and grid.is_leaf(path)
        if not valid:
            assert reply.startswith("Error: ")
            refused += 1
            continue
        assert not reply.startswith("Error: ")
        expected.append(Visit(VIDEO_QA, path, query) if asks else Visit(GET_CAPTION, path))
        read.add(path)
    assert environment.visits == expected
    assert len(environment.refusals) == refused


def play(environment):
    environment.get_caption([1, 1, 1])
    environment.video_qa([1, 1, 1], "who?")
    environment.get_caption([9])


def test_reset_clears_everything(store):
    used, fresh = NavigationEnvironment(store), NavigationEnvironment(store)
    used.reset(video_id="v")
    play(used)
    assert used.reset(video_id="w") == fresh.reset(video_id="w")
    assert vars(used) == vars(fresh) | {"_answerer": used._answerer}
    assert used.video_qa([1, 1], "who?") == fresh.video_qa([1, 1], "who?")
    assert used.video_qa([1, 1], "who?").startswith("Error: read the caption first")


def test_a_reset_that_fails_leaves_nothing_of_the_last_episode(store):
    environment = NavigationEnvironment(store)
    environment.reset(video_id="v")
    play(environment)
    with pytest.raises(InputError) as error:
        environment.reset(video_id="nowhere")
    assert (error.value.field, error.value.value) == ("video_id", "nowhere")
    assert environment.visits == []
    assert environment.refusals == []


@pytest.mark.parametrize("row", [{}, {"video_id": None}, {"video_id": 5}, {"video_id": ["v"]}, {"video_id": ""}])
def test_a_row_without_a_video_is_named(store, row):
    with pytest.raises(InputError):
        NavigationEnvironment(store).reset(**row)


def test_its_record_is_a_copy(environment):
    environment.visits.append(Visit(GET_CAPTION, (1,)))
    environment.refusals.append("x")
    assert environment.visits == environment.refusals == []


class Breaks:
    def answer(self, tree: CaptionTree, path, query):
        raise ConnectionError("the endpoint gave up")


def test_an_answerer_that_fails_is_no_visit(store):
    environment = NavigationEnvironment(store, Breaks())
    environment.reset(video_id="v")
    environment.get_caption([1, 1, 1])
    with pytest.raises(ConnectionError):
        environment.video_qa([1, 1, 1], "who?")
    assert environment.visits == [Visit(GET_CAPTION, (1, 1, 1))]


def test_only_the_tools_are_public():
    """trl lists the functions of the class: properties are none."""
    public = {name for name, _ in inspect.getmembers(NavigationEnvironment, inspect.isfunction) if name[0] != "_"}
    assert public == {"reset", GET_CAPTION, VIDEO_QA}


@given(st.lists(st.integers(1, 9999), min_size=1, max_size=32))
def test_written_addresses_are_read_back(path):
    assert parse_path(format_path(tuple(path))) == tuple(path)
