"""A small hand-made world: three videos of 27 leaves, questions whose evidence lies in known leaves."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from navigation import CaptionTree, EnvironmentFactory, Line, Question, TimeGrid, TreeStore

PLACES = ("kitchen", "garden", "garage")
ACTIONS = (
    "chops onions", "boils water", "stirs soup", "plants roses", "waters tomatoes", "rakes leaves", "paints fence",
    "fixes bicycle", "welds frame",
)  # fmt: skip


def small_tree(video_id: str, shift: int = 0) -> CaptionTree:
    """Width 3, depth 3, 270 s: leaf i (10 s each) tells action (i // 3 + shift) % 9 and a detail of its own."""
    grid = TimeGrid(270.0, 3, 3)
    captions = {}
    for path in grid.paths():
        first = grid.index(path) * 3 ** (3 - len(path))
        action = ACTIONS[(first // 3 + shift) % 9]
        if len(path) == 3:
            captions[path] = f"someone {action}; detail number{first}"
        elif len(path) == 2:
            captions[path] = f"someone {action}"
        else:
            captions[path] = f"work in the {PLACES[path[0] - 1]}"
    lines = tuple(Line(10.0 * leaf, 10.0 * leaf + 5, f"line {leaf}") for leaf in range(27))
    return CaptionTree(video_id, grid, captions, {"captioner": "hand"}, lines)


def small_questions() -> list[Question]:
    """Six questions: for each video one by description and one by order."""
    questions = []
    for number, video_id in enumerate(("v0", "v1", "v2")):
        leaf = 4 + 7 * number
        action = (leaf // 3 + number) % 9
        options = tuple(f"number{(leaf + 5 * other) % 27}" for other in range(4))
        questions.append(
            Question(
                f"small/{video_id}/what",
                video_id,
                f"Which detail is seen at line {leaf} while someone {ACTIONS[action]}?",
                options,
                "A",
                ((10.0 * leaf, 10.0 * leaf + 10),),
                270.0,
                "small",
                "what",
            )
        )
        following = [ACTIONS[(action + other) % 9] for other in (3, 1, 5, 7)]
        start = (leaf // 3 + 1) * 30.0
        questions.append(
            Question(
                f"small/{video_id}/next",
                video_id,
                f"What does someone do right after someone {ACTIONS[action]}?",
                tuple(following),
                "B",
                ((start, start + 30.0),) if start < 270 else (),
                270.0,
                "small",
                "next",
            )
        )
    return questions


@pytest.fixture
def make_tree():
    return small_tree


@pytest.fixture
def trees(tmp_path):
    store = TreeStore(tmp_path / "trees")
    for number, video_id in enumerate(("v0", "v1", "v2")):
        store.save(small_tree(video_id, number))
    return store


@pytest.fixture
def factory(trees):
    return EnvironmentFactory(trees)


@pytest.fixture
def questions():
    return small_questions()


@dataclass(frozen=True)
class CountingMix:
    """Stands for `rewards.RewardMix` where a test is not about rewards: the same `score`, easy sums."""

    weight: float = 1.0

    @property
    def settings(self):
        return self

    def score(self, question, grid, visits, status, prediction, refused, lookups=()):
        right = float(prediction == question.answer)
        grounding = len(visits) / 100 if question.clue_intervals else None
        parts = {"answer": right, "grounding": grounding, "visit_cost": float(len(visits)), "format": 0.0}
        reward = {**parts, "total": self.weight * right}
        return SimpleNamespace(to_dict=lambda: reward, tally=SimpleNamespace(cost=2.0 * len(visits)))


@pytest.fixture
def mix():
    return CountingMix()
