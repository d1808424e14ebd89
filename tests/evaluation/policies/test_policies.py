"""Each rule policy, played to its end on a small hand-made tree."""

import dataclasses

import pytest

from evaluation.policies import POLICY_NAMES, make_policy
from navigation import InputError, Limits, Status, run

RULES = ("random", "uniform", "exhaustive", "retrieval", "closed_book", "overview")


async def play(name, trees, factory, questions, seed=0, **options):
    policy = make_policy(name, trees, questions, seed, **options)
    return [await run(policy, factory(), question, Limits()) for question in questions]


@pytest.mark.parametrize("name", RULES)
async def test_every_rule_answers_every_question_without_a_refused_call(name, trees, factory, questions):
    for trajectory in await play(name, trees, factory, questions):
        assert trajectory.status is Status.ANSWERED
        assert trajectory.refused == 0


@pytest.mark.parametrize(
    ("name", "options", "visits"),
    [
        ("random", {"visits": 5}, 5),
        ("random", {"visits": 100}, 39),
        ("uniform", {"visits": 4}, 4),
        ("uniform", {"visits": 99}, 27),
        ("exhaustive", {}, 27),
        ("retrieval", {"visits": 2}, 2),
        ("closed_book", {}, 0),
        ("overview", {}, 0),
    ],
)
async def test_each_rule_opens_as_many_different_segments_as_it_says(name, options, visits, trees, factory, questions):
    for trajectory in await play(name, trees, factory, questions, **options):
        assert len({visit.path for visit in trajectory.visits}) == len(trajectory.visits) == visits


async def test_uniform_opens_the_middles_of_equal_parts(trees, factory, questions):
    trajectory = (await play("uniform", trees, factory, questions, visits=3))[0]
    assert [visit.path for visit in trajectory.visits] == [(1, 2, 2), (2, 2, 2), (3, 2, 2)]


async def test_exhaustive_reads_leaves_in_time_order_and_finds_what_is_written(trees, factory, questions):
    trajectories = await play("exhaustive", trees, factory, questions)
    starts = [trees["v0"].grid.interval(visit.path)[0] for visit in trajectories[0].visits]
    assert starts == [10.0 * leaf for leaf in range(27)]
    order = [trajectory for trajectory in trajectories if trajectory.question_id.endswith("next")]
    assert all(trajectory.correct for trajectory in order)


async def test_retrieval_opens_the_leaf_that_holds_the_words(trees, factory, questions):
    question = dataclasses.replace(questions[0], question="Where is detail number17?", options=("here", "there"))
    trajectory = (await play("retrieval", trees, factory, [question], visits=1))[0]
    assert trajectory.visits[0].path == trees["v0"].grid.path(17, 3)


def test_retrieval_counts_the_captions_that_its_index_needs(trees, questions):
    assert make_policy("retrieval", trees, questions).index_captions("v0") == 27


async def test_random_answers_are_spread_over_the_letters(trees, factory, questions):
    many = [dataclasses.replace(questions[0], id=f"q{number}") for number in range(400)]
    letters = [trajectory.prediction for trajectory in await play("random", trees, factory, many, visits=0)]
    for letter in "ABCD":
        assert 60 <= letters.count(letter) <= 140


@pytest.mark.parametrize("name", RULES)
async def test_one_seed_gives_one_episode_and_concurrent_episodes_do_not_mix(name, trees, factory, questions):
    first = await play(name, trees, factory, questions, seed=3)
    backwards = await play(name, trees, factory, questions[::-1], seed=3)
    assert [each.messages for each in first] == [each.messages for each in backwards[::-1]]


async def test_seeds_and_samples_differ(trees, factory, questions):
    policy = make_policy("random", trees, questions, 0)
    samples = [await run(policy, factory(), questions[0], sample=sample) for sample in range(8)]
    assert len({tuple(visit.path for visit in each.visits) for each in samples}) > 1
    other = await play("random", trees, factory, questions, seed=1)
    assert [each.visits for each in other] != [each.visits for each in await play("random", trees, factory, questions)]


@pytest.mark.parametrize("name", RULES)
async def test_no_policy_sees_the_answer(name, trees, factory, questions):
    blinded = [dataclasses.replace(each, answer="D", clue_intervals=((0.0, 1.0),)) for each in questions]
    told = await play(name, trees, factory, questions)
    not_told = await play(name, trees, factory, blinded)
    assert [each.messages for each in told] == [each.messages for each in not_told]
    assert [each.visits for each in told] == [each.visits for each in not_told]


async def test_the_expert_is_the_one_policy_that_is_told(trees, factory, questions):
    pytest.importorskip("data_gen.expert")
    asked = [each for each in questions if each.clue_intervals]
    swapped = [dataclasses.replace(each, answer="C") for each in asked]
    assert {each.prediction for each in await play("expert", trees, factory, swapped)} == {"C"}


def test_an_unknown_name_lists_the_names(trees):
    with pytest.raises(InputError) as caught:
        make_policy("oracle", trees, [])
    assert (caught.value.field, caught.value.value) == ("name", "oracle")
    assert all(name in caught.value.hint for name in POLICY_NAMES)


def test_an_unknown_option_lists_the_options(trees):
    with pytest.raises(InputError) as error:
        make_policy("uniform", trees, [], depth=3)
    assert (error.value.field, error.value.value) == ("depth", 3)


@pytest.mark.parametrize("visits", [-1, 2.5, True])
def test_a_bad_number_of_visits_is_refused(visits, trees):
    with pytest.raises(InputError) as error:
        make_policy("uniform", trees, [], visits=visits)
    assert (error.value.field, error.value.value) == ("visits", visits)


def test_a_policy_s_own_name_is_an_option_like_any_other(trees):
    with pytest.raises(InputError) as error:
        make_policy("uniform", trees, [], name="mine")
    assert (error.value.field, error.value.value) == ("name", "mine")
