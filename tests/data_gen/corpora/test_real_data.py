"""The real corpora, against their own files read plainly."""

import csv
import json
from collections import Counter

import pytest

from data_gen.corpora import load_corpus
from navigation import LETTERS


def right_of(question):
    return question.options[LETTERS.index(question.answer)]


@pytest.mark.parametrize(
    ("corpus", "folder"), [("goalstep", "ego4d_goalstep"), ("hirest", "hirest"), ("nextgqa", "nextgqa")]
)
def test_each_question_has_a_tree_and_the_right_text_is_told_near_its_clue(corpus, folder, real):
    found = load_corpus(corpus, real(folder), limit=300)
    trees = {tree.video_id: tree for tree in found.trees}
    assert set(trees) == {question.video_id for question in found.questions}
    for question in found.questions:
        tree = trees[question.video_id]
        assert tree.grid.duration == question.duration
        if question.kind in ("after", "before", "part"):
            leaves = {p for begin, end in question.clue_intervals for p in tree.grid.overlapping(begin, end)}
            texts = {line.text for leaf in leaves for line in tree.lines_in(leaf)}
            assert right_of(question) in texts


def test_goalstep_neighbours_are_those_of_the_file(real):
    folder = real("ego4d_goalstep")
    videos = {v["video_uid"]: v for v in json.loads((folder / "goalstep_valid.json").read_text())["videos"]}
    corpus = load_corpus("goalstep", folder)
    checked = Counter()
    for question in corpus.questions:
        _, uid, kind, number = question.id.split("/")
        anchor = videos[uid]["segments"][int(number)]
        if kind in ("after", "before"):
            others = [each for each in videos[uid]["segments"] if each is not anchor]
            if kind == "after":
                neighbour = min(
                    (o for o in others if o["start_time"] >= anchor["start_time"]), key=lambda o: o["start_time"]
                )
            else:
                neighbour = max(
                    (o for o in others if o["start_time"] <= anchor["start_time"]), key=lambda o: o["start_time"]
                )
            assert right_of(question) == " ".join(neighbour["step_description"].split()).strip(" .`")
            checked[kind] += 1
    assert min(checked["after"], checked["before"]) > 500


def test_derived_letters_are_balanced(real):
    letters = Counter(question.answer for question in load_corpus("goalstep", real("ego4d_goalstep")).questions)
    assert min(letters.values()) > 0.23 * sum(letters.values())


def test_every_located_question_of_nextgqa_is_there(real):
    folder = real("nextgqa")
    with open(folder / "val.csv", newline="") as file:
        rows = {f"nextgqa/{row['video_id']}/{row['qid']}": row for row in csv.DictReader(file)}
    corpus = load_corpus("nextgqa", folder)
    assert {question.id for question in corpus.questions} == set(rows)
    for question in corpus.questions:
        assert right_of(question) == " ".join(rows[question.id]["answer"].split())
        assert question.kind == rows[question.id]["type"]


def test_the_two_broken_needles_of_mlvu_are_listed(real):
    corpus = load_corpus("mlvu", real("mlvu_sample"))
    assert corpus.skipped_by_reason == {"answer not among the options": 2}
    assert all("needle" in row.id for row in corpus.skipped)


def test_cgbench_rows_keep_their_letters(real):
    folder = real("cgbench_sample")
    rows = json.loads((folder / "cgbench_mini_sample.json").read_text())
    corpus = load_corpus("cgbench", folder)
    assert len(corpus.questions) + len(corpus.skipped) == len(rows)
    assert [(q.id, q.answer) for q in corpus.questions] == [(f"cgbench/{r['qid']}", r["right_answer"]) for r in rows]
