"""docs/navigation.md: its examples run and say what the code says."""

import re
from pathlib import Path

import pytest

from navigation import TOOLS, CaptionTree, NavigationEnvironment, Question, TimeGrid, TreeStore, write_jsonl
from navigation.status import Status

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "navigation.md").read_text(encoding="utf-8")
CAPTIONS = {
    (1,): "A man leaves the house.", (2,): "He works outside.", (3,): "He comes back.",
    (1, 1): "He goes to the garden.",
}  # fmt: skip


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def played(tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "goalstep"
    TreeStore(folder / "trees").save(CaptionTree("home", TimeGrid(90.0, 3, 2), CAPTIONS))
    question = Question(
        "q", "home", "Where does the man go first?", ("to the kitchen", "to the garden"), "B", ((0.0, 10.0),), 90.0
    )
    write_jsonl(folder / "questions.jsonl", [question.to_dict()])
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        assert len(block.splitlines()) < 30
        exec(block, names)
    return names["trajectory"]


def test_the_example_policy_plays(played):
    assert (played.status, played.prediction, played.correct) == (Status.ANSWERED, "B", True)
    assert [visit.path for visit in played.visits] == [(1, 1)]


def test_the_transcript_is_what_the_template_renders(played, tokenizer):
    rendered = tokenizer.apply_chat_template(played.messages, tools=TOOLS, tokenize=False)
    assert rendered.endswith(blocks("text")[0])


def test_every_status_is_told():
    assert all(f"| `{status}` |" in PAGE for status in Status)


def test_refusals_read_as_told(store, tmp_path, make_tree):
    grid = TimeGrid(600.0, 6, 3)
    tree = make_tree("six", width=6, duration=600.0)
    captions = {path: text for path, text in tree.captions.items() if path != (2, 5)}
    trees = TreeStore(tmp_path)
    trees.save(CaptionTree("six", grid, captions))
    environment = NavigationEnvironment(trees)
    environment.reset(video_id="six")
    said = [
        environment.get_caption("here"), environment.get_caption([1, 1, 1, 1]), environment.get_caption([2, 9]),
        environment.get_caption([2, 5]), environment.video_qa([2], "who?"), environment.video_qa([2, 5, 1], "who?"),
        environment.video_qa([2, 5, 1], ""),
    ]  # fmt: skip
    assert all(f"| `{text}` |" in PAGE for text in said), said
