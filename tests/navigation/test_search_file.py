"""Indices kept beside their trees: the same replies as without, made once, never taken for another's."""

import json
import logging
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navigation import (
    CaptionTree,
    EnvironmentFactory,
    Line,
    Search,
    SearchSettings,
    TimeGrid,
    TreeStore,
    search,
    search_file,
)
from navigation.search import SearchIndex
from navigation.words import terms

WORDS = "amber boat crimson door denim hat the of boats 42 été 猫 犬 _ a_b ö’s running runs".split()  # noqa: SIM905
texts = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join) | st.text(max_size=30)


def tree_of(captions, lines=(), video_id="v"):
    grid = TimeGrid(90.0, 3, 2)
    made = dict(zip(grid.paths(), captions, strict=False))
    return CaptionTree(video_id, grid, made, {}, tuple(Line(5.0 * n, 5.0 * n + 3, text, "speech") for n, text in lines))


trees = st.builds(
    tree_of, st.lists(texts, min_size=12, max_size=12), st.lists(st.tuples(st.integers(0, 17), texts), max_size=5)
)


def letters(texts):
    """Embeddings: how often some letters stand in a text."""
    return np.array([[text.count(letter) + 0.1 for letter in "abdeor"] for text in texts])


@pytest.fixture
def embedder(monkeypatch):
    monkeypatch.setattr(search, "load_encoder", lambda model: letters)
    return "letters"


@pytest.fixture
def kept(tmp_path):
    """A tree in a folder, and its first search with its file."""
    tree = tree_of([f"A person shows the {word}" for word in WORDS])
    TreeStore(tmp_path).save(tree)
    first = Search(folder=tmp_path)
    first.index(tree)
    return tree, first.file("v")


@settings(max_examples=60, deadline=None)
@given(trees, st.lists(st.tuples(texts, st.sampled_from([(), (2,), (3, 1)])), min_size=1, max_size=4), st.booleans())
def test_replies_are_the_same_bytes_with_a_file_and_without(tmp_path_factory, tree, queries, by_meaning):
    folder = tmp_path_factory.mktemp("trees")
    TreeStore(folder).save(tree)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "load_encoder", lambda model: letters)
        chosen = SearchSettings(embedder="letters" if by_meaning else "")
        searches = [Search(chosen), Search(chosen, folder=folder), Search(chosen, folder=folder)]
        replies = [[each.reply(tree, *query) for query in queries] for each in searches]
    assert replies[0] == replies[1] == replies[2]
    assert searches[2].file("v").is_file()


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=12), texts)
def test_scores_are_those_of_bm25s(captions, query):
    index = Search(SearchSettings(sources=("captions",))).index(tree_of(captions))
    corpus = [terms(passage.text) for passage in index.passages]
    wanted = [term for term in terms(query) if any(term in text for text in corpus)]
    if wanted:
        scorer = bm25s.BM25()
        scorer.index(corpus, show_progress=False)
        assert np.array_equal(index._scores(query), scorer.get_scores(wanted))
    else:
        assert not index._scores(query).any()


def test_a_second_search_makes_nothing(kept, monkeypatch):
    tree, path = kept
    before = path.read_bytes()
    monkeypatch.setattr(search, "index_arrays", lambda *_: pytest.fail("made again"))
    again = Search(folder=path.parent)
    assert again.reply(tree, "crimson").startswith("A person shows the crimson")
    assert not again.index(tree).arrays["weights"].flags.owndata
    assert not again.index(tree).arrays["weights"].flags.writeable
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == sorted(["v.json", path.name])


def test_settings_that_change_an_index_have_files_of_their_own(kept, embedder):
    tree, path = kept
    searches = [
        Search(chosen, folder=path.parent)
        for chosen in (
            SearchSettings(count=2, words=4),
            SearchSettings(sources=("lines",)),
            SearchSettings(embedder=embedder),
        )
    ]
    for each in searches:
        each.index(tree)
    names = [each.file("v").name for each in searches]
    assert names[0] == path.name
    assert len(set(names)) == 3
    assert len(list(path.parent.glob("*.search"))) == 3


def test_a_changed_tree_has_its_index_made_anew(kept):
    tree, path = kept
    changed = tree_of(["A zebra"] * 12)
    TreeStore(path.parent).save(changed)
    assert Search(folder=path.parent).reply(changed, "zebra") == Search().reply(changed, "zebra")
    assert Search(folder=path.parent).reply(tree, "crimson") == Search().reply(tree, "crimson")
    assert len(list(path.parent.glob("*.search"))) == 1


def test_a_model_that_changed_under_its_name_has_its_index_made_anew(kept, embedder, monkeypatch):
    tree, path = kept
    chosen = SearchSettings(embedder=embedder)
    Search(chosen, folder=path.parent).index(tree)
    monkeypatch.setattr(search, "load_encoder", lambda model: lambda texts: letters(texts)[:, ::-1] ** 2)
    assert Search(chosen, folder=path.parent).reply(tree, "door") == Search(chosen).reply(tree, "door")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_never_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("trees")
    tree = tree_of([f"A person shows the {word}" for word in WORDS])
    TreeStore(folder).save(tree)
    first = Search(folder=folder)
    expected, path = first.reply(tree, "denim hats"), first.file("v")
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = whole[:place]
    else:
        damaged = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    path.write_bytes(damaged)
    count = len(first.index(tree).passages)
    key = json.loads(whole[65:1024])["key"]
    assert search_file.open_index(path, key, count) is None
    assert Search(folder=folder).reply(tree, "denim hats") == expected
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "change",
    [
        {"places": np.full(50, 10_000)},
        {"starts": np.arange(3)},
        {"words": np.zeros(0)},
        {"weights": np.zeros(1)},
        {"bounds": np.zeros(0)},
        {"vectors": np.zeros((2, 2)), "probe": np.zeros(2)},
        {"vectors": np.zeros((12, 2))},
    ],
    ids=lambda change: "+".join(change),
)
def test_a_whole_file_whose_numbers_lead_astray_is_not_read(kept, change):
    tree, path = kept
    index = SearchIndex(Search().index(tree).passages)
    search_file.write_index(path, "k", 12, index.arrays)
    assert search_file.open_index(path, "k", 12) is not None
    assert search_file.open_index(path, "other", 12) is None
    assert search_file.open_index(path, "k", 13) is None
    search_file.write_index(path, "k", 12, index.arrays | change)
    assert search_file.open_index(path, "k", 12) is None


def test_a_tree_without_a_file_or_captions_keeps_its_index_in_memory(tmp_path, caplog):
    caplog.set_level(logging.INFO, "navigation.search")
    here, partial = Search(folder=tmp_path), tree_of(["A hat", "A door"])
    for tree in (tree_of(WORDS[:12], video_id="unsaved"), partial, tree_of(WORDS[:12], video_id="other")):
        if tree is partial:
            TreeStore(tmp_path).save(tree)
        assert here.reply(tree, "hat") == Search().reply(tree, "hat")
    assert [each.name for each in tmp_path.iterdir()] == ["v.json"]
    assert [record.levelno for record in caplog.records if record.name == "navigation.search"].count(20) == 4


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, caplog, monkeypatch):
    trees = [tree_of(WORDS[:12], video_id=name) for name in "abc"]
    for tree in trees:
        TreeStore(tmp_path).save(tree)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(search_file, "write_index", refuse)
    here = Search(folder=tmp_path)
    assert [here.reply(tree, "hat") for tree in trees] == [Search().reply(tree, "hat") for tree in trees]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_no_name_of_a_video_leads_out_of_its_folder(tmp_path):
    here = Search(folder=tmp_path / "trees")
    for name in ("../v", "/etc/passwd", "a/b", "..", "v.json"):
        assert here.file(name).parent == tmp_path / "trees"


def test_environments_of_a_folder_share_its_files(kept):
    _, path = kept
    factory = pickle.loads(pickle.dumps(EnvironmentFactory.of(TreeStore(path.parent), tools="get_caption,search")))
    environment = factory()
    environment.reset(video_id="v")
    assert "crimson" in environment.search("crimson")
    assert factory.search.file("v") == path
    assert len(list(path.parent.glob("*.search"))) == 1


def _searches(folder: str, gate, told) -> None:
    made = search.index_arrays

    def counted(*given):
        told.put("made")
        return made(*given)

    search.index_arrays = counted
    gate.wait()
    told.put(Search(folder=Path(folder)).reply(TreeStore(folder)["v"], "denim hats"))


def test_of_processes_that_search_first_one_makes_the_index(tmp_path):
    tree = tree_of([f"A person shows the {word}" for word in WORDS])
    TreeStore(tmp_path).save(tree)
    context = multiprocessing.get_context("fork")
    gate, told = context.Barrier(4), context.Queue()
    children = [context.Process(target=_searches, args=(str(tmp_path), gate, told)) for _ in range(4)]
    for child in children:
        child.start()
    said = [told.get(timeout=60) for _ in range(5)]
    for child in children:
        child.join()
    assert said.count("made") == 1
    assert said.count(Search().reply(tree, "denim hats")) == 4
    assert len(list(tmp_path.iterdir())) == 2


def test_threads_make_one_index(tmp_path, monkeypatch):
    tree = tree_of(WORDS[:12])
    TreeStore(tmp_path).save(tree)
    here, made, count = Search(folder=tmp_path), search.index_arrays, []
    monkeypatch.setattr(search, "index_arrays", lambda *given: count.append(1) or made(*given))
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(here.reply, [tree] * 40, ["hat"] * 40))) == 1
    assert len(count) == 1
