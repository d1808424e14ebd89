"""Hostile texts in every field of the viewer's pages change nothing but the text that is shown."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from clipscout.view.app import view_app
from clipscout.view.export import export
from clipscout.view.filters import Filter
from clipscout.view.runs import find_runs
from clipscout.web.pages import sanitize
from navigation import (
    TOOLS,
    CaptionTree,
    Question,
    Status,
    TimeGrid,
    Trajectory,
    TreeStore,
    Visit,
    assistant_message,
    write_jsonl,
)
from tests.clipscout.hostile import EVERY


class Shape(HTMLParser):
    """Tags with their attribute names, in order; and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.values = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.values += [value for name, value in attrs if name in ("href", "src", "action")]

    def handle_endtag(self, tag):
        self.tags.append((f"/{tag}", ()))

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.tags.append(("!comment", ()))

    def handle_decl(self, decl):
        self.tags.append((decl, ()))


def write_world(folder: Path, texts) -> Path:
    """A trajectory a text in each of two sets; it stands in every field that a file, a model or a user can fill."""
    grid, trees = TimeGrid(90.0, 3, 2), TreeStore(folder / "trees")
    questions, rows = [], {"one": [], "two": []}
    for text in texts:
        trees.save(CaptionTree(text, grid, dict.fromkeys(grid.paths(), text), {"captioner": text}))
        questions.append(Question(text, text, text, (text, text), "B", ((0.0, 10.0),), 90.0, text, text).to_dict())
        call = assistant_message(text, text, [("get_caption", {"segment": [1, 1]}), (text, {text: text})])
        asked = assistant_message(text, text, [("video_qa", {"segment": [1, 1], "query": text})])
        messages = [
            {"role": "system", "content": text}, {"role": "user", "content": text}, call,
            {"role": "tool", "name": text, "content": text}, {"role": "tool", "name": text, "content": text}, asked,
            {"role": "tool", "name": "video_qa", "content": text}, assistant_message(text, text),
        ]  # fmt: skip
        for name in rows:
            trajectory = Trajectory(
                text, text, text, messages, TOOLS, None if name == "two" else "A", False, Status.FAILED,
                [Visit("get_caption", (1, 1)), Visit("video_qa", (1, 1), text)], error=text,
                reward={"answer": 0.0, text: 1.0, "total": 0.5}, teacher={"model": text},
            )  # fmt: skip
            rows[name].append(trajectory.to_dict() | {"step": 1, "group": text, "advantage": 0.25, text: text})
    write_jsonl(folder / "questions.jsonl", questions)
    for name, records in rows.items():
        write_jsonl(folder / name / "trajectories.jsonl", records)
    return folder


class World:
    """The pages of one world, as shapes."""

    def __init__(self, folder, texts):
        self.folder = write_world(folder, texts)
        self.runs = find_runs([self.folder])
        self.sets = self.runs.sets
        for each in self.sets:
            each.refresh()
        self.client = TestClient(view_app(self.runs), base_url="http://localhost")

    def page(self, url, **query):
        reply = self.client.get(url, params=query or None)
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
        return reply

    def shape(self, url, **query):
        reply = self.page(url, **query)
        assert reply.status_code == 200, (url, query, reply.text)
        return Shape(reply.text)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The hostile world, and one of harmless words that is otherwise the same."""
    folder = tmp_path_factory.mktemp("worlds")
    harmless = [f"harmless {number:03d}" for number in range(len(EVERY))]
    return World(folder / "hostile", EVERY), World(folder / "harmless", harmless)


def check(shape, expected, *texts):
    assert shape.tags == expected.tags
    seen = " ".join(" ".join(shape.text).split())
    for text in texts:
        assert " ".join(sanitize(text).split()) in seen
    page = "".join(shape.text) + "".join(value or "" for value in shape.values)
    assert sanitize(page) == page
    assert not any(str(value).lower().startswith(("javascript:", "http:", "file:", "//")) for value in shape.values)


@pytest.mark.parametrize(
    "url",
    ["/list?run=one", "/list?run=two&page=2", "/compare?left=one&right=two", "/compare?left=two&right=one&page=2"],
)
def test_lists_hold_hostile_texts_as_texts(worlds, url):
    hostile, harmless = worlds
    shown_here = EVERY[50:100] if "page=2" in url else EVERY[:50]
    check(hostile.shape(url), harmless.shape(url), *shown_here)


@pytest.mark.parametrize("name", ["one", "two"])
def test_trajectories_hold_hostile_texts_as_texts(worlds, name):
    hostile, harmless = worlds
    for number, text in enumerate(EVERY):
        shapes = []
        for world, sent in ((hostile, text.encode("utf-8", "replace").decode()), (harmless, f"harmless {number:03d}")):
            shapes.append(world.shape("/trajectory", run=name, id=sent, segment="1-1"))
        check(*shapes, text)


def test_the_overview_holds_hostile_kinds_as_texts(worlds):
    hostile, harmless = worlds
    shape, expected = hostile.shape("/"), harmless.shape("/")
    assert {tag for tag, _ in shape.tags} == {tag for tag, _ in expected.tags}
    check(shape, shape)


def test_comparisons_hold_hostile_texts_as_texts(worlds):
    hostile, harmless = worlds
    for number, text in enumerate(EVERY):
        query = {
            "left": "one",
            "right": "two",
            "outcome": "neither",
            "question": text.encode("utf-8", "replace").decode(),
        }
        if query["question"] != text:
            # Half a surrogate pair cannot stand in a query: no such question, told as text.
            assert hostile.page("/compare", **query).status_code == 400
            continue
        same = harmless.shape("/compare", **(query | {"question": f"harmless {number:03d}"}))
        check(hostile.shape("/compare", **query), same, text)


def test_hostile_filters_are_only_looked_for(worlds):
    hostile, harmless = worlds
    nothing = harmless.shape("/list", text="is not there").tags
    problem = Shape(harmless.page("/list", run="x").text).tags
    for text in EVERY:
        for query in ({"text": text}, {"kind": text}):
            given = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
            shape = hostile.shape("/list", **given)
            rows = sum(tag == ("tr", ()) for tag in shape.tags)
            assert rows > 1 or shape.tags == nothing
        for name in ("run", "page", "status", "correct", "order", "visits_from", "reward_to", "step"):
            reply = hostile.page("/list", **{name: text.encode("utf-8", "replace").decode()})
            assert reply.status_code == 400
            assert Shape(reply.text).tags == problem


def test_an_exported_file_holds_hostile_texts_as_texts(worlds, tmp_path):
    shapes = []
    for world in worlds:
        count = export(world.sets, Filter(), tmp_path / "export.html", limit=len(EVERY))
        assert count == len(EVERY)
        shapes.append(Shape((tmp_path / "export.html").read_text(encoding="utf-8")))
    check(*shapes, *EVERY)


def test_the_set_is_large():
    assert len(EVERY) == len(set(EVERY)) >= 70
