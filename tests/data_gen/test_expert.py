"""The scripted teacher: detours, ways back and looks at clips at the rates that it is told, and never a wrong end."""

import asyncio
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_gen.corpora.actions import Action, AnnotatedVideo, stems
from data_gen.corpora.compose import CONTINUED, compose
from data_gen.corpora.derive import derive
from data_gen.corpora.small_world import GRID, load
from data_gen.expert import Expert, targets
from data_gen.filters import find_leaks
from data_gen.thoughts import Thoughts
from data_gen.transcript import Transcript
from navigation import GET_CAPTION, SEARCH, VIDEO_QA, EnvironmentFactory, InputError, NavigationEnvironment, Status, run

WORLD = load(seed=2, videos=40)
TREES = {tree.video_id: tree for tree in WORLD.trees}
_NUMBERED = re.compile(r"(?:(\w+) )?\[(\d+)\]")


def trajectory(expert, question, sample=0):
    return asyncio.run(run(expert, NavigationEnvironment(TREES), question, sample=sample))


@pytest.mark.parametrize(("wander", "verify"), [(0.0, 0.0), (0.25, 0.6), (0.5, None), (0.9, 0.1)])
def test_detours_and_looks_come_at_their_rates(wander, verify):
    expert = Expert(WORLD.questions, wander=wander, verify=verify)
    plans = [expert.plan(question, GRID, sample) for question in WORLD.questions for sample in range(4)]
    levels = runs = detours = 0
    for plan in plans:
        under_way = 0
        for step in plan:
            under_way += step.detour
            assert under_way <= 3
            if step.tool == GET_CAPTION and not step.detour:
                levels, detours, runs, under_way = levels + 1, detours + under_way, runs + bool(under_way), 0
    # Geometric, at most three: a first with chance w, a second with w², a third with w³.
    assert detours / levels == pytest.approx(wander + wander**2 + wander**3, abs=0.12)
    assert runs / levels == pytest.approx(wander, abs=0.05)
    looks = sum(plan[-1].tool == VIDEO_QA for plan in plans)
    assert looks / len(plans) == pytest.approx(wander if verify is None else verify, abs=0.06)
    assert all(step.tool == GET_CAPTION for plan in plans for step in plan[:-1])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(WORLD.questions), st.floats(0, 0.95), st.integers(0, 3), st.integers(0, 9))
def test_every_episode_ends_right_and_opens_nothing_twice(question, wander, sample, seed):
    found = trajectory(Expert(WORLD.questions, seed, wander), question, sample)
    assert (found.status, found.correct, found.refused) == (Status.ANSWERED, True, 0)
    assert len(set(found.visits)) == len(found.visits)
    (leaf,) = targets(question, GRID)
    assert leaf in {visit.path for visit in found.visits}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(WORLD.questions), st.floats(0, 0.95), st.integers(0, 3))
def test_reasoning_tells_of_ways_back_and_names_only_what_was_shown(question, wander, sample):
    expert = Expert(WORLD.questions, 0, wander)
    found = trajectory(expert, question, sample)
    said = [m.get("reasoning_content") or "" for m in found.messages if m["role"] == "assistant"]
    steps = expert.plan(question, GRID, sample)
    assert not said[0].startswith("Not there.")
    replies = [m["content"] for m in found.messages if m["role"] == "tool"]
    for earlier, reply, later in zip(steps, replies, said[1:], strict=True):
        # The place itself of what a neighbour is asked of is no wrong place.
        anchor = reply.split(" ", 2)[-1].split(" is ")[0].split()[-4:]
        there = question.kind != "look" and set(anchor) - {"in"} <= set(question.question.split())
        assert later.startswith("Not there.") == (earlier.detour and not there)
    assert find_leaks(found.messages) == []
    shown = ""
    for message in found.messages:
        if message["role"] != "assistant":
            shown += f"\n{message['content']}"
            continue
        for word, number in _NUMBERED.findall(message["reasoning_content"]):
            if word == "so":
                (call,) = message["tool_calls"]
                assert int(number) == call["function"]["arguments"]["segment"][-1]
            else:
                # The number that a caption gave the word, or that of the segment whose caption has it.
                assert re.search(rf"[\[ ]{number}\] (?:\w+ )*?{word}\b", shown)


def test_every_episode_quotes_a_number_and_leads_on_from_it_where_a_neighbour_is_asked_for():
    trajectories = [trajectory(Expert(WORLD.questions), question) for question in WORLD.questions[:60]]
    said = [
        [m.get("reasoning_content") or "" for m in one.messages if m["role"] == "assistant"] for one in trajectories
    ]
    assert all(any(_NUMBERED.search(text) for text in texts) for texts in said)
    for question, texts in zip(WORLD.questions, said, strict=False):
        assert any(" so [" in text for text in texts) == (question.kind != "look")


def test_the_same_seed_plans_the_same_way_and_the_truth_is_needed():
    one, same, other = (Expert(WORLD.questions, seed, 0.5) for seed in (1, 1, 2))
    plans = [[expert.plan(question, GRID) for question in WORLD.questions] for expert in (one, same, other)]
    assert plans[0] == plans[1] != plans[2]
    with pytest.raises(InputError) as error:
        Expert(WORLD.questions, wander=1.0)
    assert error.value.field == "wander"
    assert "InputError" in trajectory(Expert([]), WORLD.questions[0]).error


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("What colour is the cup in park during run time?", (2, 1), "in park [2] during run [1]"),
        ("What colour is the cup in park during run time?", (2, 1, 3), "for the cup [3]"),
        ("What colour comes after the cup in park during run time?", (2, 1, 4), "after the cup [3] so [4]"),
        ("Which cup?", (2, 1, 3), "for cup [3]"),
    ],
)
def test_a_quote_keeps_the_phrase_it_was_asked_in(text, path, said):
    shown = "0:00-4:16 [1] beach has [1] dig\n4:16-8:32 [2] park has [1] run [2] cook"
    opened = "4:16-5:20 [2, 1] run in park shows [1] hat [2] bag [3] cup [4] kite"
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": shown}]
    if len(path) == 3:
        messages += [
            {"role": "assistant", "content": "", "reasoning_content": "Look in park [2] during run [1]"},
            {"role": "tool", "content": opened},
        ]
    read = Transcript(replace(WORLD.questions[0], question=text), messages)
    assert Thoughts(read, GRID, random.Random(0)).leading_to(path) == f"Look {said}"


TEXTS = """Gather the ingredients
Wash a red pepper
Chop onions finely
Heat oil in a pan
Fry the onions
Add tomato paste
Boil a pot of water
Cook spaghetti
Grate hard cheese
Serve dinner on plates"""
STEPS = [Action(n, 40.0 * n, 40.0 * n + 40, text) for n, text in enumerate(TEXTS.splitlines())]
KITCHEN = AnnotatedVideo("kitchen", 400.0, "Cook dinner", (0.0, 400.0), STEPS)
ASKED = derive(KITCHEN, "steps", 0)[0]
KITCHEN_TREE = {"kitchen": compose(KITCHEN, "steps")}
_SPEECH = re.compile("“([^”]*)”")


def in_kitchen(question, seed=0, wander=0.4):
    expert = Expert(ASKED, seed, wander)
    return asyncio.run(run(expert, NavigationEnvironment(KITCHEN_TREE), question)).messages


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ASKED), st.integers(0, 9), st.floats(0, 0.9))
def test_every_quote_was_read_before_it_is_said_and_names_the_segment_that_holds_it(question, seed, wander):
    messages = in_kitchen(question, seed, wander)
    assert find_leaks(messages) == []
    for turn, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        read = Transcript(question, messages[:turn])
        for quote in _SPEECH.findall(message["reasoning_content"]):
            holders = [clause.path for clause in read.clauses if clause.text == quote]
            assert holders or quote == read.asked_for
        for quote, address in re.findall(r"“([^”]*)”[^“.;]*? in (\[[\d, ]+\])", message["reasoning_content"]):
            path = tuple(map(int, address.strip("[]").split(", ")))
            assert quote in read.captions[path]


def test_the_answer_follows_its_quote_and_the_letter_its_text():
    guesses = 0
    for question in ASKED:
        messages = in_kitchen(question)
        said = messages[-1]["reasoning_content"]
        right = question.options["ABCD".index(question.answer)]
        assert said.endswith(f" {right} ({question.answer}).")
        supported = Transcript(question, messages).support() is not None
        guesses += not supported
        assert supported == said.startswith(("“", "After “", "Before “")) == ("guess" not in said)
        if supported and question.kind != "when":
            assert _SPEECH.findall(said)[-1].startswith(right)
    assert guesses <= 0.1 * len(ASKED)


def test_what_nothing_read_supports_is_said_to_be_a_guess():
    question = replace(ASKED[0], options=("Sleep", "Dance", "Sing", "Swim"), answer="C")
    asked = {**{each.id: each for each in ASKED}, question.id: question}
    expert = Expert(list(asked.values()))
    messages = asyncio.run(run(expert, NavigationEnvironment(KITCHEN_TREE), question)).messages
    assert Transcript(question, messages).support() is None
    assert messages[-1]["reasoning_content"].endswith("A guess: Sing (C).")


def test_sentences_vary_by_seed():
    said = {
        str([m["reasoning_content"] for m in in_kitchen(question, seed, 0.0) if m["role"] == "assistant"])
        for seed in range(6)
        for question in ASKED[:1]
    }
    assert len(said) > 1


@pytest.mark.parametrize(
    ("options", "answer", "supported"),
    [
        (("Chop onions", "Serve dinner", "Fry the onions", "Sing"), "A", True),
        (("Chop onions", "Serve dinner", "Fry the onions", "Sing"), "C", False),
        (("0:00-0:50", "1:20-2:00", "2:30-3:00", "4:00-4:40"), "B", True),
        (("0:00-0:50", "1:20-2:00", "2:30-3:00", "4:00-4:40"), "A", False),
    ],
)
def test_an_option_is_supported_by_its_text_or_its_time(options, answer, supported):
    question = replace(ASKED[0], question="When does “Chop onions finely” happen?", options=options, answer=answer)
    shown = {"role": "tool", "content": "1:15-1:40 [1, 4] Wash a red pepper (continued). Chop onions finely."}
    support = Transcript(question, [shown]).support()
    assert (support is not None) == supported
    if support is not None:
        assert (support.clause.text, support.clause.path) == ("Chop onions finely", (1, 4))


def test_a_conclusion_quotes_last_what_answers_and_never_the_mark_of_a_step_that_goes_on():
    assert any(CONTINUED in caption for caption in KITCHEN_TREE["kitchen"].captions.values())
    lengths = set()
    for question in ASKED:
        messages = in_kitchen(question, 1, 0.3)
        said = [message["reasoning_content"] for message in messages if message["role"] == "assistant"]
        assert not any(CONTINUED.strip() in each for each in said)
        read, quotes = Transcript(question, messages), _SPEECH.findall(said[-1])
        lengths.add(len(quotes))
        support = read.support()
        assert quotes[-1:] == ([support.clause.text] if support else [])
        assert all(stems(quote) & read.subject for quote in quotes[:-1])
    assert lengths == {0, 1, 2}


def searching(expert, trees, question):
    environment = EnvironmentFactory(trees, tools=(GET_CAPTION, VIDEO_QA, SEARCH))()
    return asyncio.run(run(expert, environment, question))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(WORLD.questions + ASKED), st.floats(0, 0.95), st.integers(0, 5))
def test_where_there_is_a_search_it_looks_its_own_words_up_and_opens_what_was_found(question, wander, seed):
    trees = TREES if question in WORLD.questions else KITCHEN_TREE
    found = searching(Expert([question], seed, wander), trees, question)
    assert (found.status, found.correct, found.refused) == (Status.ANSWERED, True, 0)
    assert [lookup.tool for lookup in found.lookups] == [SEARCH]
    assert set(found.lookups[0].query.lower().split()) <= set(re.findall(r"\w+", question.question.lower()))
    assert find_leaks(found.messages) == []
    read = Transcript(question, found.messages)
    named = {clause.path for clause in read.found}
    (aim, *_) = targets(question, trees[question.video_id].grid)
    assert found.visits[0].path in named or aim not in named
    texts = [found.messages[3]["content"], *read.captions.values()]
    quotes = [
        q for m in found.messages[2:] if m["role"] == "assistant" for q in _SPEECH.findall(m["reasoning_content"])
    ]
    assert all(any(quote in text for text in texts) or quote == read.asked_for for quote in quotes)


def test_with_a_search_it_needs_no_more_calls_than_without():
    questions = WORLD.questions[:80]
    expert = Expert(questions)
    with_search = [searching(expert, TREES, question) for question in questions]
    without = [trajectory(expert, question) for question in questions]
    assert sum(len(t.visits) + len(t.lookups) for t in with_search) <= sum(len(t.visits) for t in without)
