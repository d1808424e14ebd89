"""Filters pick what they say, from the page's query and from the command line alike."""

import json

import pytest
from starlette.testclient import TestClient

from clipscout.view.app import view_app
from clipscout.view.export import export
from clipscout.view.filters import Filter, compare
from clipscout.view.runs import Runs, find_runs, find_sets
from navigation import CaptionTree, InputError, TimeGrid, TreeStore, write_jsonl


@pytest.fixture
def sets(runs):
    found = {each.name: each for each in find_sets(runs)}
    for each in found.values():
        each.offsets.refresh()
    return found


def picked(trajectories, **query):
    return [trajectories.rows[number] for number in Filter.from_query(query).select(trajectories)]


def test_every_set_of_a_folder_is_found(sets):
    assert {name: len(each.rows) for name, each in sets.items()} == {
        "house/eval/expert": 6, "house/eval/random": 6, "house/grpo/rollouts": 8,
    }  # fmt: skip
    assert all(each.corpus is not None for each in sets.values())


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ({"status": "out_of_turns"}, lambda row: row.status == "out_of_turns"),
        ({"correct": "right"}, lambda row: row.correct),
        ({"correct": "wrong"}, lambda row: row.prediction is not None and not row.correct),
        ({"correct": "none"}, lambda row: row.prediction is None),
        ({"reward_from": "0.2"}, lambda row: row.total >= 0.2),
        ({"reward_to": "0.2", "correct": "wrong"}, lambda row: row.total <= 0.2 and row.prediction and not row.correct),
        ({"visits_from": "2", "visits_to": "2"}, lambda row: row.visits == 2),
        ({"text": "BOILS"}, lambda row: row.question_id == "house/1"),
        ({"text": "house/3"}, lambda row: row.question_id == "house/3"),
        ({"kind": "which"}, lambda row: int(row.question_id[-1]) % 2 == 0),
    ],
)
def test_a_filter_picks_what_it_says(sets, query, matches):
    for trajectories in sets.values():
        assert picked(trajectories, **query) == [row for row in trajectories.rows if matches(row)]


def test_steps_and_orders(sets):
    rollouts = sets["house/grpo/rollouts"]
    assert {row.step for row in picked(rollouts, step="2")} == {2}
    keys = {
        "reward": lambda row: row.total, "visits": lambda row: row.visits, "turns": lambda row: row.turns,
        "outcome": lambda row: row.correct, "advantage": lambda row: row.advantage,
    }  # fmt: skip
    for order, key in keys.items():
        values = [key(row) for row in picked(rollouts, order=order)]
        assert values == sorted(values)
        assert [key(row) for row in picked(rollouts, order=f"{order}-")] == values[::-1]


@pytest.mark.parametrize(
    "query",
    [{"status": "happy"}, {"correct": "maybe"}, {"reward_from": "much"}, {"reward_to": "nan"}, {"visits_from": "1.5"},
     {"order": "random"}, {"step": "last"}, {"reward_from": "inf"}],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_told(query):
    with pytest.raises(InputError):
        Filter.from_query(query)


def test_a_filter_survives_its_query():
    from urllib.parse import parse_qsl, urlencode

    chosen = Filter.from_query(
        {"status": "failed", "reward_from": "-0.5", "visits_to": "7", "text": "a&b=c", "order": "visits-"}
    )
    assert Filter.from_query(dict(parse_qsl(urlencode(chosen.to_dict() | {"run": "a", "page": 2})))) == chosen


def test_two_sets_are_paired_by_question(sets):
    found = compare(sets["house/eval/expert"], sets["house/eval/random"])
    assert [pair.question_id for pair in found.pairs] == [f"house/{number}" for number in range(6)]
    right = sum(row.correct for row in sets["house/eval/random"].rows)
    assert found.counts == {"both": right, "left": 6 - right, "right": 0, "neither": 0, "undecided": 0}
    assert found.accuracy == (1.0, right / 6)


def test_an_answer_that_nobody_could_judge_is_neither_right_nor_wrong(runs):
    path = runs / "eval/random/trajectories.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row, label in zip(rows, ("none", "cannot_tell", "wrong"), strict=False):
        share = 0.0 if label == "wrong" else None
        row |= {"prediction": "a hat", "correct": False, "verdict": {"label": label, "share": share, "by": "judge"}}
    write_jsonl(path, rows)
    one, other = (find_sets(runs / "eval" / name)[0] for name in ("expert", "random"))
    for each in (one, other):
        each.refresh()
    undecided = rows[0]["question_id"], rows[1]["question_id"]
    assert [row.question_id for row in picked(other, correct="undecided")] == [*undecided]
    assert rows[2]["question_id"] in [row.question_id for row in picked(other, correct="wrong")]
    found = compare(one, other)
    right = sum(row["correct"] for row in rows[2:])
    assert found.counts == {"both": right, "left": 4 - right, "right": 0, "neither": 0, "undecided": 2}
    assert found.accuracy == (1.0, right / 4)
    client = TestClient(view_app(find_runs([runs])), base_url="http://localhost")
    page = client.get("/list", params={"run": "house/eval/random"}).text
    assert page.count("a hat undecided") == 2
    assert page.count("a hat wrong") == 1
    assert "2 undecided" in page
    assert "of 4 decided" in client.get("/").text
    assert "undecided" not in client.get("/list", params={"run": "house/eval/expert"}).text


def test_a_question_is_exported_by_whichever_trajectory_matches(runs, tmp_path):
    path = runs / "eval/random/trajectories.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    # Two samples of each question, of which the second alone is right.
    write_jsonl(
        path,
        [
            row | {"id": f"{row['question_id']}#{sample}", "correct": sample == 1, "prediction": "A"}
            for row in rows
            for sample in (0, 1)
        ],
    )
    sets = find_sets(runs / "eval/random") + find_sets(runs / "eval/expert")
    for each in sets:
        each.refresh()
    assert export(sets, Filter.from_query({"correct": "right"}), tmp_path / "trajectories.html", limit=4) == 4
    page = (tmp_path / "trajectories.html").read_text()
    assert "4 questions, 2 more left out" in page
    assert page.count("A wrong") == 0
    assert export(sets, Filter(), tmp_path / "trajectories.html") == 6


def test_a_trajectory_of_another_tree_says_why_its_reward_is_not_explained(runs):
    grid = TimeGrid(270.0, 2, 2)
    TreeStore(runs / "trees").save(CaptionTree("house", grid, dict.fromkeys(grid.paths(), "text"), {}))
    (trajectories,) = find_sets(runs / "eval/expert")
    trajectories.refresh()
    reply = TestClient(view_app(Runs([trajectories])), base_url="http://localhost").get("/trajectory?id=house/0%230")
    assert reply.status_code == 200
    assert "Its reward cannot be explained: " in reply.text
    assert "What each visit earned" not in reply.text


@pytest.mark.parametrize("content", ["", "nothing here"])
def test_a_folder_without_trajectories_is_refused(tmp_path, content):
    if content:
        (tmp_path / "notes.txt").write_text(content)
    with pytest.raises(InputError) as error:
        find_sets(tmp_path)
    assert (error.value.source, error.value.value) == (str(tmp_path), "no trajectories")
