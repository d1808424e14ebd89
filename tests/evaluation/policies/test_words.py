"""Rules answer questions without options: by the statement asked for, by its times, or not at all."""

import asyncio

import pytest

from evaluation.policies import make_policy
from evaluation.policies.reader import UNKNOWN
from navigation import CaptionTree, NavigationEnvironment, Question, Status, TimeGrid, TreeStore, run

GRID = TimeGrid(270.0, 3, 2)
STEPS = [
    "washes rice",
    "chops onions",
    "boils water",
    "fries onions",
    "adds rice",
    "stirs pot",
    "sets table",
    "eats",
    "sings",
]


@pytest.fixture
def store(tmp_path):
    captions = {path: f"The cook {STEPS[GRID.index(path)]}." for path in GRID.paths(2)}
    captions |= dict.fromkeys(GRID.paths(1), "Cooking.")
    store = TreeStore(tmp_path)
    store.save(CaptionTree("v", GRID, captions))
    return store


def play(store, name, text):
    question = Question("q", "v", text, (), "", duration=270.0, references=("x",))
    policy = make_policy(name, store, (question,))
    return asyncio.run(run(policy, NavigationEnvironment(store), question))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("What comes right after “washes rice”?", "The cook chops onions"),
        ("What does the cook do before “sets table”?", "The cook stirs pot"),
        ("When does the cook boil water?", "1:00-1:30"),
    ],
)
def test_who_read_everything_answers_in_words(store, text, said):
    trajectory = play(store, "exhaustive", text)
    assert (trajectory.status, trajectory.prediction) == (Status.ANSWERED, said)


RULES = ["random", "uniform", "retrieval", "consensus", "best_first", "coarse_to_fine", "spotlight", "overview"]


@pytest.mark.parametrize("name", RULES)
def test_every_rule_ends_with_an_answer(store, name):
    trajectory = play(store, name, "What comes right after “washes rice”?")
    assert trajectory.status is Status.ANSWERED
    assert trajectory.prediction


@pytest.mark.parametrize("name", ["random", "closed_book"])
def test_a_guess_needs_options(store, name):
    assert play(store, name, "What comes right after “washes rice”?").prediction == UNKNOWN
