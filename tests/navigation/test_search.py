"""Searching and jumping as tools: what they reply, what is recorded, and what stays as it was without them."""

import asyncio
import copy
import hashlib
import inspect
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.utils import get_json_schema

import navigation.search as search_module
from data_gen.corpora import load_corpus
from navigation import (
    GET_CAPTION,
    JUMP,
    SEARCH,
    TOOLS,
    VIDEO_QA,
    CaptionTree,
    EnvironmentFactory,
    InputError,
    Line,
    LineAnswerer,
    Lookup,
    NavigationEnvironment,
    Policy,
    Question,
    Reply,
    Search,
    SearchEnvironment,
    SearchSettings,
    Status,
    TimeGrid,
    Trajectory,
    TreeStore,
    answer_message,
    assistant_message,
    initial_messages,
    read_tools,
    run,
    tool_schemas,
)
from navigation.environment import environment_class
from navigation.prompt import SYSTEM, system_prompt
from navigation.search import SearchIndex, read_results
from navigation.tools import TOOL_NAMES
from navigation.words import snippet, terms
from rewards import RewardMix

OBJECTS = "amber boat, crimson door, denim hat, ebony bowl, fawn glove, green kite, hazel drum, ivory lamp, jade comb"


def searchable(video_id="v", missing=(), lines=()):
    grid = TimeGrid(270.0, 3, 2)
    things = OBJECTS.split(", ")
    captions = {(n,): ". ".join(things[3 * n - 3 : 3 * n]) + ". Someone walks on." for n in (1, 2, 3)}
    captions |= {path: f"A person shows the {things[grid.index(path)]}" for path in grid.paths(2)}
    return CaptionTree(
        video_id, grid, {path: text for path, text in captions.items() if path not in missing}, {}, lines
    )


@pytest.fixture
def trees(tmp_path):
    store = TreeStore(tmp_path)
    store.save(searchable())
    return store


@pytest.fixture
def environment(trees):
    environment = SearchEnvironment(trees)
    environment.reset(video_id="v")
    return environment


class Opens(Policy):
    """Opens two segments, asks about one and answers: the same on any version."""

    name = "opens"

    async def reply(self, task, messages):
        turn, deepest = sum(message["role"] == "assistant" for message in messages), [1] * task.grid.depth
        calls = [
            (GET_CAPTION, {"segment": [2]}),
            (GET_CAPTION, {"segment": deepest}),
            (VIDEO_QA, {"segment": deepest, "query": "who?"}),
            (GET_CAPTION, {"segment": [99]}),
        ]
        if turn < len(calls):
            return Reply(assistant_message(f"Turn {turn}.", calls=[calls[turn]]))
        return Reply(answer_message("So.", "A"))


def sha(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def test_without_search_nothing_a_model_reads_or_earns_has_changed(tmp_path):
    """Hashes of what there was before search was a tool."""
    corpus = load_corpus("small_world", None, 0, 24)
    store, questions = TreeStore(tmp_path), list(corpus.questions)
    for tree in corpus.trees:
        store.save(tree)
    environment, mix = EnvironmentFactory(store)(), RewardMix()
    played = [asyncio.run(run(Opens(), environment, question)) for question in questions]
    for each in played:
        each.seconds = 0
    grids = [store[question.video_id].grid for question in questions]
    scores = [
        mix.score(question, grid, each.visits, each.status, each.prediction, each.refused).to_dict()
        for question, grid, each in zip(questions, grids, played, strict=True)
    ]
    prompts = [initial_messages(each, store[each.video_id]) for each in questions]
    assert [sha(TOOLS), sha(prompts), sha([each.to_dict() for each in played]), sha(scores)] == [
        "053b8e05bbe7f48c",  # pragma: allowlist secret
        "f9a96008bcb81a98",  # pragma: allowlist secret
        "d869bebed3e07fa9",  # pragma: allowlist secret
        "41873a4175af862f",  # pragma: allowlist secret
    ]
    assert type(environment) is NavigationEnvironment


def test_a_result_is_the_text_and_then_its_segment_and_time(environment):
    assert environment.search("a hat of denim") == "A person shows the denim hat [1, 3] 1:00-1:30"
    assert environment.lookups == [Lookup(SEARCH, "a hat of denim")]
    assert environment.visits == environment.refusals == []


def test_of_segments_inside_one_another_the_finest_is_named(environment):
    lines = environment.search("crimson door or hazel drum or someone").splitlines()
    assert [line.partition(" [")[2].split("]")[0] for line in lines] == ["1, 2", "3, 1", "2"]


def test_a_search_may_look_in_one_segment(environment):
    assert "[1, 3]" not in environment.search("person", [2])
    assert {line.split(" [")[1][0] for line in environment.search("person", "[2]").splitlines()} == {"2"}
    assert environment.search("denim", [3]) == "Nothing found. Use other words."
    assert [lookup.within for lookup in environment.lookups] == [(2,), (2,), (3,)]


def test_words_are_found_in_other_forms(environment):
    assert environment.search("showing HATS").startswith("A person shows the denim hat")


def test_at_most_so_many_lines_and_words(trees):
    search = Search(SearchSettings(count=2, words=3))
    lines = search.reply(trees["v"], "person").splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("A person shows … [1, 1]")
    assert len(Search().reply(trees["v"], "person").splitlines()) == 5


def test_a_snippet_shows_the_wanted_words():
    text = "One two three. Four five six seven. " + "more " * 30 + "a needle lies here and " + "so on " * 20
    shown = snippet(text, set(terms("needle lies")), 8)
    assert "needle lies" in shown
    assert len(shown.replace("…", "").split()) == 8
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert snippet(text, set(terms("five")), 8).startswith("… Four five") or "five" in snippet(text, {"five"}, 8)
    assert snippet("short\ntext", set(), 8) == "short text"


def test_lines_are_sources_of_their_own(tmp_path):
    lines = (Line(95.0, 99.0, "Now the zebra speaks", "speech"),)
    tree = searchable(lines=lines)
    found = Search(SearchSettings(sources=("captions", "lines"))).reply(tree, "zebra")
    assert found == "Now the zebra speaks [2, 1] 1:35-1:39 speech"
    assert Search(SearchSettings(sources=("captions",))).reply(tree, "zebra").startswith("Nothing found")
    assert Search(SearchSettings(sources=("lines",))).captions_read(tree) == []
    early = Search(SearchSettings(sources=("lines",))).reply(searchable(lines=(Line(-2.0, 3.0, "A yak"),)), "yak")
    assert early == "A yak [1, 1] 0:00-0:03"


def test_results_of_a_video_of_days_are_read_back():
    tree = searchable()
    long = CaptionTree("v", TimeGrid(720_000.0, 3, 2), tree.captions)
    reply = Search().reply(long, "jade comb")
    assert "199:" in reply or "177:" in reply
    assert read_results(reply)[0] == (3, 3)


def test_an_embedder_that_cannot_be_had_is_said_before_any_episode(trees, monkeypatch):
    def missing(model):
        raise InputError("search", "embedder", model, "install it")

    monkeypatch.setattr(search_module, "load_encoder", missing)
    settings = SearchSettings(embedder="typo/model")
    with pytest.raises(InputError) as error:
        EnvironmentFactory.of(trees, tools="get_caption,search", search=settings)
    assert error.value.field == "embedder"
    assert EnvironmentFactory.of(trees, search=settings).tools == (GET_CAPTION, VIDEO_QA)


def test_what_is_not_captioned_is_told_and_not_made():
    class Growing(dict):
        def __missing__(self, path):
            raise AssertionError("a search makes no caption")

    tree = searchable(missing={(1, 3), (2,)})
    growing = Growing(tree.captions)
    tree = CaptionTree("v", tree.grid, growing)
    search = Search()
    told = "Searched 10 of 12 captions: the others are not written yet."
    assert search.reply(tree, "green kite").splitlines()[1:] == [told]
    assert search.reply(tree, "unheard").splitlines() == ["Nothing found. Use other words.", told]
    growing[(1, 3)] = "A person shows the denim hat"
    assert search.reply(tree, "denim").startswith("A person shows the denim hat [1, 3]")


@pytest.mark.parametrize(("time", "place"), [("1:05", "[1, 3]"), (65, "[1, 3]"), ("270", "[3, 3]"), ("0:00", "[1, 1]")])
def test_a_jump_names_the_leaf_of_a_time(environment, time, place):
    assert f" is in {place} " in environment.jump(time)
    assert environment.lookups == [Lookup(JUMP, str(time))]


BAD_TIMES = [None, True, "soon", -1, "9:99", "1:00:00", 271, float("nan"), 10**5000, [1], "1" * 99]


@pytest.mark.parametrize("time", BAD_TIMES, ids=range(len(BAD_TIMES)))
def test_a_bad_time_is_refused(environment, time):
    assert environment.jump(time).startswith("Error: ")
    assert environment.lookups == []
    assert len(environment.refusals) == 1


@pytest.mark.parametrize(
    "arguments", [(None,), ("",), (" ",), (5,), ("hat", [9]), ("hat", "two"), ("hat", [1, 1, 1]), ("hat " * 500,)]
)
def test_a_bad_search_is_refused(environment, arguments):
    assert environment.search(*arguments).startswith("Error: ")
    assert environment.lookups == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**5000), 10**5000) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.booleans(), json_values, json_values), max_size=6))
def test_no_lookup_raises_and_each_is_recorded_once(calls):
    class One:
        def __getitem__(self, video_id):
            return searchable()

    environment = SearchEnvironment(One())
    environment.reset(video_id="v")
    for jumps, value, within in calls:
        counts = len(environment.lookups), len(environment.refusals)
        reply = environment.jump(value) if jumps else environment.search(value, within)
        refused = reply.startswith("Error: ")
        assert (len(environment.lookups), len(environment.refusals)) == (counts[0] + (not refused), counts[1] + refused)
        json.dumps([lookup.to_dict() for lookup in environment.lookups])


def test_reset_forgets_lookups(environment):
    environment.search("hat")
    environment.reset(video_id="v")
    assert environment.lookups == []


def test_the_schemas_are_those_of_the_methods():
    """trl takes tools from the environment's methods; a server knows no "return" and is sent none."""
    for schema in tool_schemas(TOOL_NAMES):
        made = get_json_schema(getattr(SearchEnvironment, schema["function"]["name"]))
        made["function"].pop("return", None)
        properties = made["function"]["parameters"]["properties"]
        properties.pop("self", None)
        required = [name for name in made["function"]["parameters"]["required"] if name != "self"]
        made["function"]["parameters"]["required"] = required
        assert json.dumps(made) == json.dumps(schema), "the same bytes: a prompt holds them"


CHOICES = [
    (GET_CAPTION,),
    (GET_CAPTION, SEARCH),
    (GET_CAPTION, VIDEO_QA),
    (GET_CAPTION, VIDEO_QA, SEARCH),
    TOOL_NAMES,
]


@pytest.mark.parametrize("tools", CHOICES, ids="+".join)
def test_trl_sees_the_tools_of_the_config_and_everything_pickles(trees, tools):
    factory = pickle.loads(pickle.dumps(EnvironmentFactory(trees, LineAnswerer(), tools)))
    environment = factory()
    public = {name for name, _ in inspect.getmembers(type(environment), inspect.isfunction) if name[0] != "_"}
    assert public == {"reset", *tools}
    assert environment.tools == tools
    environment.reset(video_id="v")
    environment.get_caption([1, 1])
    for again in (copy.copy(environment), pickle.loads(pickle.dumps(environment))):
        assert again.visits == environment.visits
        assert again.tools == tools
        assert type(again) is environment_class(tools)


def test_tools_are_read_as_people_write_them():
    assert read_tools("search, get_caption") == (GET_CAPTION, SEARCH)
    assert read_tools(["get_caption", "video_qa"]) == (GET_CAPTION, VIDEO_QA)
    for wrong in ("", [], None, "search", "get_caption,look", "get_caption,get_caption", [5, "get_caption"], {"a": 1}):
        with pytest.raises(InputError) as error:
            read_tools(wrong)
        assert error.value.field == "tools"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"count": 0}, "count"),
        ({"words": "9"}, "words"),
        ({"sources": ["smells"]}, "sources"),
        ({"size": 3}, "search"),
        ({"sources": ["lines", "speech"]}, "sources"),
        ({"sources": ["speech", "speech"]}, "sources"),
    ],
)
def test_a_bad_setting_is_named(config, field):
    with pytest.raises(InputError) as error:
        SearchSettings.from_config(config)
    assert error.value.field == field
    assert SearchSettings.from_config({"count": 3, "sources": "captions, lines"}).sources == ("captions", "lines")


def test_the_prompt_says_which_tools_there_are():
    assert system_prompt() == SYSTEM
    assert "search" not in SYSTEM
    with_search = system_prompt((GET_CAPTION, VIDEO_QA, SEARCH))
    assert "search looks words up" in with_search
    assert "jump" not in with_search
    assert "video_qa" not in system_prompt((GET_CAPTION, SEARCH))


class Searches(Policy):
    name = "searches"

    async def reply(self, task, messages):
        turn = sum(message["role"] == "assistant" for message in messages)
        calls = [(SEARCH, {"query": "denim hat"}), (JUMP, {"time": "1:05"}), (GET_CAPTION, {"segment": [1, 3]})]
        return Reply(assistant_message("", calls=[calls[turn]]) if turn < 3 else answer_message("", "A"))


QUESTION = Question("q", "v", "Which hat?", ("denim", "straw"), "A", ((60.0, 90.0),), 270.0)


def test_an_episode_records_its_tools_and_lookups(trees):
    played = asyncio.run(run(Searches(), EnvironmentFactory(trees, tools=TOOL_NAMES)(), QUESTION))
    assert played.status is Status.ANSWERED
    assert played.tools == tool_schemas(TOOL_NAMES)
    assert played.lookups == [Lookup(SEARCH, "denim hat"), Lookup(JUMP, "1:05")]
    assert len(played.visits) == 1
    assert played.messages[0]["content"] == system_prompt(TOOL_NAMES)
    record = json.loads(json.dumps(played.to_dict()))
    assert Trajectory.from_dict(record).to_dict() == record


def test_a_tool_that_an_episode_lacks_is_refused(trees):
    played = asyncio.run(run(Searches(), EnvironmentFactory(trees)(), QUESTION))
    assert played.refused == 2
    assert played.lookups == []
    assert "there are get_caption and video_qa." in played.messages[3]["content"]


def test_threads_share_an_index(trees):
    search, words = Search(), OBJECTS.replace(",", "").split()
    alone = [search.reply(trees["v"], word) for word in words]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(Search().reply, [trees["v"]] * 40 * len(words), words * 40)) == alone * 40


def test_both_rankings_are_fused():
    def encode(texts):  # a text means how many letters it has
        return np.array([[1.0, len(text)] for text in texts])

    tree = searchable()
    passages = [passage for passage in Search().index(tree).passages if len(passage.path) == 2]
    fused = SearchIndex(passages, encode)
    assert fused.passages[fused.rank("denim")[0]].path == (1, 3)
    assert len(fused.rank("nothing of that")) == len(passages)


def test_replies_depend_on_neither_answer_nor_clues(tmp_path):
    """Every question of a corpus, searched with its words: other ground truth, the same bytes."""
    corpus = load_corpus("small_world", None, 0, 60)
    store = TreeStore(tmp_path)
    for tree in corpus.trees:
        store.save(tree)
    for question in corpus.questions:
        rows = [question.to_dict()]
        for answer in "ABCD"[: len(question.options)]:
            other = dict(rows[0], answer=answer, clue_intervals=[[0.0, 1.0]], options=list(reversed(question.options)))
            rows.append(other)
        replies = []
        for row in rows:
            environment = SearchEnvironment(store)
            environment.reset(**row)
            replies.append((environment.search(question.question), environment.search(question.options[0])))
        assert len(set(replies)) == 1
        assert not any(f"<answer>{letter}" in text for letter in "ABCD" for pair in replies for text in pair)


def test_a_clue_is_not_favoured_over_equal_text_elsewhere(tmp_path):
    """The clue's caption stands in another leaf too, before or after it: the earlier of the two comes first."""
    corpus = load_corpus("small_world", None, 0, 60)
    trees = {tree.video_id: tree for tree in corpus.trees}
    before = after = 0
    for number, question in enumerate(corpus.questions):
        tree = trees[question.video_id]
        grid, (begin, end) = tree.grid, question.clue_intervals[0]
        clue = grid.path_at((begin + end) / 2)
        leaves = [path for path in grid.paths(grid.depth) if path != clue]
        twin = leaves[(7 * number) % len(leaves)]
        text = tree.captions[clue]
        copied = CaptionTree(tree.video_id, grid, {**tree.captions, twin: text})
        index = Search().index(copied)
        ranked = [index.passages[place].path for place in index.rank(text)]
        first, second = sorted((ranked.index(clue), ranked.index(twin)))
        assert second == first + 1
        assert ranked[first] == min(clue, twin)
        before, after = before + (ranked[first] == clue), after + (ranked[first] == twin)
    assert before > 5
    assert after > 5
