import json
import os
import subprocess
import sys

import pytest

from data_gen.corpora import load_corpus, write_corpus
from navigation import TreeStore, read_questions


def test_what_is_written_reads_back(small, tmp_path):
    corpus = load_corpus("goalstep", small("goalstep", lambda document: document["videos"].append("broken")))
    stats = write_corpus(corpus, tmp_path / "out")
    assert list(read_questions(tmp_path / "out/questions.jsonl")) == corpus.questions
    store = TreeStore(tmp_path / "out/trees")
    assert {tree.video_id: tree for tree in store} == {tree.video_id: tree for tree in corpus.trees}
    skipped = [json.loads(line) for line in (tmp_path / "out/skipped.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in skipped] == ["not an object"]
    assert stats["videos"] == stats["trees"] == len(store) == 2
    assert stats["questions"] == sum(stats["questions_by_kind"].values()) == sum(stats["questions_by_answer"].values())
    assert stats["segments"] == sum(tree.grid.segment_count for tree in corpus.trees)
    assert stats["skipped_by_reason"] == {"not an object": 1}
    assert stats["duration_seconds"]["median"] == 300.0
    assert stats["clue_seconds"]["min"] > 0
    assert json.loads(json.dumps(stats)) == stats


def test_every_question_has_its_tree_whatever_its_video_is_called(small, tmp_path):
    def rename(document):
        document["videos"][0]["video_uid"] = "../../etc/passwd"
        document["videos"][1]["video_uid"] = "a/b c"

    corpus = load_corpus("goalstep", small("goalstep", rename))
    write_corpus(corpus, tmp_path / "deep/out")
    store = TreeStore(tmp_path / "deep/out/trees")
    assert all(question.video_id in store for question in corpus.questions)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["out"]


def test_a_write_that_fails_leaves_the_old_questions(small, tmp_path, monkeypatch):
    folder = small("goalstep")
    write_corpus(load_corpus("goalstep", folder), tmp_path / "out")
    before = (tmp_path / "out/questions.jsonl").read_bytes()
    corpus = load_corpus("goalstep", folder, seed=1)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(TreeStore, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        write_corpus(corpus, tmp_path / "out")
    assert (tmp_path / "out/questions.jsonl").read_bytes() == before


@pytest.mark.parametrize("corpus", ["goalstep", "nextgqa", "hirest"])
def test_two_processes_write_the_same_bytes(corpus, small, tmp_path):
    folder = small(corpus)
    code = "import sys; from data_gen.corpora import *; write_corpus(load_corpus(*sys.argv[1:3], 5), sys.argv[3])"
    contents = []
    for hash_seed in ("1", "2"):
        out = tmp_path / hash_seed
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", code, corpus, folder, out], check=True, env=environment)
        contents.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4


def test_a_limit_keeps_only_the_videos_asked_about(small):
    everything = load_corpus("goalstep", small("goalstep"))
    one = load_corpus("goalstep", small("goalstep"), limit=1)
    assert len(one.questions) == 1
    assert one.questions[0] in everything.questions
    assert [tree.video_id for tree in one.trees] == [one.questions[0].video_id]
    assert [tree.video_id for tree in one.trees] == [one.questions[0].video_id]


def test_other_videos_change_no_question(small):
    both = load_corpus("goalstep", small("goalstep"))
    alone = load_corpus("goalstep", small("goalstep", lambda document: document["videos"].pop(0)))
    assert alone.questions == [question for question in both.questions if question.video_id == "second"]


@pytest.mark.parametrize("corpus", ["cgbench", "mlvu"])
def test_corpora_without_captions_have_no_trees(corpus, small, tmp_path):
    stats = write_corpus(load_corpus(corpus, small(corpus)), tmp_path / "out")
    assert stats["trees"] == stats["segments"] == 0
    assert stats["questions"] == 4
