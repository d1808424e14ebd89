"""Searching a folder of trees: new, changed and removed ones, any words, and nothing half in."""

import multiprocessing
import os
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clipscout.main import app
from clipscout.search import FILE, LibraryIndex
from clipscout.view.trajectory_page import trajectory_page
from clipscout.view.trajectory_set import TrajectorySet
from navigation import (
    CaptionTree,
    InputError,
    Line,
    Lookup,
    Status,
    TimeGrid,
    Trajectory,
    TreeStore,
    Visit,
    write_jsonl,
)
from navigation.words import terms
from tests.clipscout.world import house_questions, house_tree

THINGS = ["amber boat", "crimson door", "denim hat", "ebony bowl", "fawn glove", "green kite"]
SOURCES = ("captions", "lines")


def tree_of(video_id, thing, lines=()):
    grid = TimeGrid(90.0, 3, 2)
    captions = {path: f"A person shows {path}" for path in grid.paths()}
    return CaptionTree(video_id, grid, captions | {(2, 1): f"They find the {thing}, hidden.", (2,): thing}, {}, lines)


@pytest.fixture
def folder(tmp_path):
    store = TreeStore(tmp_path / "trees")
    for number, thing in enumerate(THINGS):
        store.save(tree_of(f"video {number}", thing, (Line(70.0, 75.0, "Now the zebra speaks", "speech"),)))
    return tmp_path


def found(folder, query, count=5, sources=SOURCES):
    with LibraryIndex(folder / FILE) as library:
        changes = library.update(folder / "trees")
        return changes, [(video, passage.path) for video, passage in library.find(query, count, sources)]


def test_it_names_the_video_and_the_finest_segment(folder):
    changes, results = found(folder, "finding denim HATS")
    assert results[0] == ("video 2", (2, 1))
    assert (changes.read, changes.removed, changes.videos) == (6, 0, 6)
    assert ("video 2", (2,)) not in results
    assert found(folder, "denim")[0].read == 0


def test_lines_and_captions_are_sources(folder):
    assert {path for _, path in found(folder, "zebra")[1]} == {(3, 2)}
    assert found(folder, "zebra", sources=("captions", "screen"))[1] == []
    assert len(found(folder, "zebra", count=9, sources=("speech",))[1]) == 6


def test_it_follows_the_folder(folder):
    found(folder, "denim")
    store = TreeStore(folder / "trees")
    store.path("video 0").unlink()
    store.save(tree_of("video 2", "velvet coat"))
    store.save(tree_of("another", "velvet glove"))
    changes, results = found(folder, "velvet")
    assert (changes.read, changes.removed, changes.videos) == (2, 1, 6)
    assert {video for video, _ in results} == {"video 2", "another"}
    assert found(folder, "denim")[1] == found(folder, "amber")[1] == []


def test_a_tree_that_was_only_touched_is_not_read_again(folder):
    found(folder, "denim")
    os.utime(TreeStore(folder / "trees").path("video 2"))
    changes, results = found(folder, "denim")
    assert changes.read == 0
    assert results[0] == ("video 2", (2, 1))


def test_another_stemmer_makes_another_index(folder, monkeypatch):
    found(folder, "denim")
    monkeypatch.setattr("clipscout.search.made_by", lambda: "another")
    monkeypatch.setattr("navigation.search.made_by", lambda: "another")
    changes, results = found(folder, "denim")
    assert changes.read == 6
    assert results[0] == ("video 2", (2, 1))


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("nothing"), lambda path: path.mkdir()])
def test_what_is_no_file_is_named(folder, make):
    make(folder / "trees" / "broken.json")
    with pytest.raises(InputError) as error:
        found(folder, "denim")
    assert error.value.source.endswith("broken.json")


def test_a_broken_tree_is_named(folder):
    (folder / "trees" / "broken.json").write_text("{")
    with pytest.raises(InputError) as error:
        found(folder, "denim")
    assert error.value.source.endswith("broken.json")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=4))
def test_any_text_can_be_looked_for_and_is_found(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("library")
    grid = TimeGrid(90.0, 4, 1)
    captions = {path: texts[number % len(texts)] for number, path in enumerate(grid.paths())}
    TreeStore(folder / "trees").save(CaptionTree("v\ud800" if texts[0] else "v", grid, captions))
    for text in texts:
        if not terms(text):
            with pytest.raises(InputError):
                found(folder, text)
        else:
            assert any(captions[path] == text for _, path in found(folder, text)[1])


SYNTAX = """denim" OR " / denim AND NOT hat / terms:denim / NEAR(denim hat, 2) / denim* / ^denim / {denim} / ') x; --"""


@pytest.mark.parametrize("query", [*SYNTAX.split(" / "), "猫" * 500, " ".join(f"w{n}" for n in range(200))])
def test_a_query_is_words_and_no_syntax(folder, query):
    assert [video for video, _ in found(folder, query)[1][:1]] == (["video 2"] if "denim" in query else [])


@pytest.mark.parametrize("query", ["", "the of", "?!", "x" * 1001])
def test_a_query_without_words_or_of_too_many_is_refused(folder, query):
    with pytest.raises(InputError) as error:
        found(folder, query)
    assert error.value.field == "query"


def _dies(folder, after):
    with LibraryIndex(folder / FILE) as library:
        forget, calls = library._forget, iter(range(after))

        def dying(name):
            if next(calls, None) is None:
                os._exit(9)
            forget(name)

        library._forget = dying
        library.update(folder / "trees")


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_killed_in_between_it_holds_whole_trees_and_goes_on(folder, after, monkeypatch):
    monkeypatch.setattr("clipscout.search._AT_ONCE", 2)
    child = multiprocessing.get_context("fork").Process(target=_dies, args=(folder, after))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    with sqlite3.connect(folder / FILE) as file:
        videos = [row[0] for row in file.execute("SELECT id FROM videos")]
        assert len(videos) == after // 2 * 2
        for video in videos:
            assert file.execute("SELECT count(*) FROM passages WHERE video = ?", (video,)).fetchone() == (13,)
        assert file.execute("SELECT count(*) FROM words").fetchone() == (13 * len(videos),)
    file.close()
    assert found(folder, "green kite")[1][0] == ("video 5", (2, 1))


def _opens(path, gate):
    gate.wait()
    with LibraryIndex(path):
        pass


def test_processes_that_make_a_file_at_the_same_moment_all_have_it(tmp_path):
    context = multiprocessing.get_context("fork")
    codes = []
    for number in range(10):
        gate = context.Barrier(6)
        made = [context.Process(target=_opens, args=(tmp_path / f"{number}.sqlite", gate)) for _ in range(6)]
        for child in made:
            child.start()
        for child in made:
            child.join(60)
        codes += [child.exitcode for child in made]
    assert codes == [0] * 60


def _updates(folder, gate):
    gate.wait()
    found(folder, "denim")


def test_two_processes_update_one_index(folder):
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(3)
    children = [context.Process(target=_updates, args=(folder, gate)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    changes, results = found(folder, "kite")
    assert (changes.read, changes.videos, results[0]) == (0, 6, ("video 5", (2, 1)))


def test_what_is_not_its_index_is_refused_and_left_alone(folder):
    path = folder / FILE
    path.write_bytes(b"no database " * 100)
    with pytest.raises(InputError) as error:
        found(folder, "denim")
    assert error.value.field == "index"
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (a)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(InputError) as error:
        found(folder, "denim")
    assert error.value.field == "index"
    assert path.read_bytes() == before


def test_the_command_lists_video_segment_time_and_text(folder):
    runner = CliRunner()
    shown = runner.invoke(app, ["search", "denim hat", "--data", str(folder)])
    assert shown.exit_code == 0
    lines = [line.strip() for line in shown.output.splitlines()]
    place = lines.index("video 2 [2, 1] 0:30-0:40")
    assert lines[place + 1] == "They find the denim hat, hidden."
    assert "6 new or changed videos" in shown.output
    nothing = runner.invoke(app, ["search", "unheard", "--data", str(folder)])
    assert nothing.exit_code == 1
    assert isinstance(runner.invoke(app, ["search", "x", "--data", str(folder / "trees")]).exception, InputError)


def test_the_viewer_prices_lookups_as_the_run_did(tmp_path):
    tree, question = house_tree(), house_questions()[0]
    TreeStore(tmp_path / "trees").save(tree)
    write_jsonl(tmp_path / "questions.jsonl", [question.to_dict()])
    visits, lookups = [Visit("get_caption", (1, 1))], [Lookup("search", "onions"), Lookup("jump", "0:05")] * 3
    played = Trajectory("house/0#0", question.id, "house", [], [], "A", True, Status.ANSWERED, visits, lookups=lookups)
    write_jsonl(tmp_path / "trajectories.jsonl", [played.to_dict()])
    trajectories = TrajectorySet("run", [tmp_path / "trajectories.jsonl"], tmp_path)
    trajectories.offsets.refresh()
    page = trajectory_page(trajectories, 0)
    assert page.breakdown.parts["visit_cost"] > 0
    assert [account.visit for account in page.accounts] == [*visits, *lookups]
