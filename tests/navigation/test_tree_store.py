import gc
import json
import pickle
import threading

import pytest

from navigation import CaptionTree, EnvironmentFactory, InputError, NavigationEnvironment, TreeStore
from navigation import caption_tree as module


@pytest.fixture
def loads(monkeypatch):
    """Names of the files opened, in order."""
    opened = []
    load = CaptionTree.load.__func__
    monkeypatch.setattr(
        module.CaptionTree, "load", classmethod(lambda cls, path: opened.append(path.stem) or load(cls, path))
    )
    return opened


def test_the_least_recently_used_tree_is_dropped(tmp_path, make_tree, loads):
    store = TreeStore(tmp_path, capacity=2)
    for name in "abc":
        store.save(make_tree(name))
    for name in "abacab":
        assert store[name].video_id == name
    # a, b read; a again in memory; c drops b; a in memory; b drops c.
    assert loads == ["a", "b", "c", "b"]
    assert len(store._opened) == 2


def test_no_capacity_still_opens(tmp_path, make_tree):
    store = TreeStore(tmp_path, capacity=0)
    store.save(make_tree("a"))
    assert store["a"].video_id == "a"
    assert len(store._opened) == 0


def test_a_saved_tree_replaces_the_one_in_memory(tmp_path, make_tree):
    store = TreeStore(tmp_path)
    store.save(make_tree("a", caption="old"))
    assert store["a"].captions[(1,)] == "old"
    store.save(make_tree("a", caption="new"))
    assert store["a"].captions[(1,)] == "new"


def test_what_is_cached_is_not_pickled(tmp_path, make_tree):
    store = TreeStore(tmp_path, capacity=7)
    store.save(make_tree("a"))
    empty = len(pickle.dumps(store))
    tree = store["a"]
    copy = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) == empty
    assert copy.capacity == 7
    assert copy["a"] == tree
    environment = pickle.loads(pickle.dumps(EnvironmentFactory(store)))()
    assert isinstance(environment, NavigationEnvironment)
    assert "a" in store
    environment.reset(video_id="a")
    assert environment.get_caption([1]).endswith(tree.captions[(1,)])


def test_ten_thousand_trees_are_not_held_in_memory(tmp_path, make_tree):
    record = make_tree("v", width=2, depth=2).to_dict()
    tmp_path.mkdir(exist_ok=True)
    for number in range(10_000):
        (tmp_path / f"v{number}.json").write_text(json.dumps(record | {"video_id": f"v{number}"}))
    store = TreeStore(tmp_path, capacity=16)
    before = _trees_in_memory()
    for number in range(10_000):
        assert store[f"v{number}"].video_id == f"v{number}"
    assert _trees_in_memory() - before == len(store._opened) == 16


def _trees_in_memory() -> int:
    gc.collect()
    return sum(isinstance(each, CaptionTree) for each in gc.get_objects())


def test_iterating_keeps_nothing(tmp_path, make_tree):
    store = TreeStore(tmp_path)
    for name in ("b", "a", "a/b"):
        store.save(make_tree(name))
    assert sorted(tree.video_id for tree in store) == ["a", "a/b", "b"]
    assert len(store) == 3
    assert len(store._opened) == 0


def test_a_missing_tree_is_named(tmp_path):
    store = TreeStore(tmp_path)
    assert "nothing" not in store
    assert "" not in store
    with pytest.raises(InputError) as caught:
        store["nothing"]
    assert caught.value.source == str(tmp_path)
    assert "nothing.json" in str(caught.value)


def test_another_videos_tree_is_refused(tmp_path, make_tree):
    store = TreeStore(tmp_path)
    store.save(make_tree("a"))
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    with pytest.raises(InputError) as error:
        store["b"]
    assert (error.value.source, error.value.field, error.value.value) == (str(tmp_path / "b.json"), "video_id", "a")


def test_threads_share_a_store(tmp_path, make_tree):
    store = TreeStore(tmp_path, capacity=2)
    names = [f"v{number}" for number in range(6)]
    for name in names:
        store.save(make_tree(name, width=2, depth=1))
    errors = []

    def read(offset):
        try:
            for step in range(200):
                name = names[(step * (offset + 1)) % 6]
                assert store[name].video_id == name
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store._opened) == 2
