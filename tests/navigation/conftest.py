import json

import pytest

from navigation import CaptionTree, Line, Question, TimeGrid, TreeStore
from trainer.tiny_base import train_tokenizer


def _tree(video_id="v", width=3, depth=3, duration=270.0, caption=None):
    grid = TimeGrid(duration, width, depth)
    captions = {path: caption if caption is not None else f"caption of {path}" for path in grid.paths()}
    leaf = grid.leaf_length
    lines = tuple(Line(index * leaf, index * leaf + 1, f"line {index}") for index in range(width**depth))
    return CaptionTree(video_id, grid, captions, {"captioner": "test"}, lines)


@pytest.fixture(scope="session")
def make_tree():
    return _tree


@pytest.fixture(scope="session")
def make_question():
    def make(**changes):
        row = {
            "id": "q", "video_id": "v", "question": "What happens?", "options": ["a", "b", "c", "d"], "answer": "B",
            "clue_intervals": [[10.0, 20.0]], "duration": 270.0,
        }  # fmt: skip
        return Question.from_dict(row | changes)

    return make


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    store = TreeStore(tmp_path_factory.mktemp("trees"))
    store.save(_tree("v"))
    store.save(_tree("w", width=4, depth=2, duration=100.0))
    holes = _tree("holes")
    del holes.captions[(1, 1, 1)]
    store.save(holes)
    return store


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer([json.dumps(_tree().to_dict()), "a man opens the door and looks inside"] * 2)
