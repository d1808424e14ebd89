"""Result files: one seed gives the same bytes, two cards never meet in one, and it is read without anything else."""

import json

import pytest

from evaluation.result import card_hash, labels_of, read_result, unequal_terms
from evaluation.run import evaluate_corpus
from evaluation.scorers import score
from navigation import InputError, write_jsonl


@pytest.fixture
def corpus(tmp_path, trees, questions):
    write_jsonl(tmp_path / "questions.jsonl", (question.to_dict() for question in questions))
    return {"questions": tmp_path / "questions.jsonl", "trees": trees.folder}


@pytest.fixture
def played(corpus, tmp_path):
    def play(name, policy="coarse_to_fine", **options):
        evaluate_corpus(**corpus, policy=policy, out=tmp_path / name, **options)
        return tmp_path / name

    return play


@pytest.mark.parametrize("policy", ["coarse_to_fine", "consensus", "random"])
def test_two_runs_with_one_seed_write_the_same_bytes(played, policy):
    first = played("a", policy, concurrency=1, samples=2)
    second = played("b", policy, concurrency=7, samples=2)
    for name in ("result.jsonl", "trajectories.jsonl", "settings.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_result_says_what_the_summary_says(played, trees, questions):
    folder = played("a")
    result = read_result(folder)
    summary = json.loads((folder / "summary.json").read_text())
    assert result.card == summary["card"]
    assert result.build == summary["build"]
    assert (
        score(result.benchmark, result.rows).metrics["accuracy"].value
        == summary["policies"]["coarse_to_fine"]["accuracy"]
    )
    assert sum(row.visits for row in result.rows) == summary["policies"]["coarse_to_fine"]["visits"] * len(questions)
    for row in result.rows:
        assert row.visits == row.meter["get_caption"] + row.meter["video_qa"] == sum(row.meter["by_level"])
        assert [number for number, _ in row.steps] == sorted(number for number, _ in row.steps)
        assert all(0 < value <= 1 for _, value in row.steps)


def test_the_card_names_everything_that_decides_a_result(played):
    card = read_result(played("a", seed=3)).card
    assert card["questions"]["count"] == 6
    assert card["trees"]["recipes"] == [{"recipe": {"captioner": "hand", "depth": 3, "lines": True}, "videos": 3}]
    assert (card["seed"], card["limits"]["turns"], card["policy"]["judge"]) == (3, 15, "lexical")
    assert {"prompt_sha256", "template", "extractor", "costs", "benchmark", "samples"} <= card.keys()


def test_terms_of_two_cards_are_compared_part_by_part(played):
    first = read_result(played("a")).card
    second = read_result(played("b", "uniform", visits=2)).card
    third = read_result(played("c", limit=4)).card
    assert unequal_terms(first, second) == []
    assert unequal_terms(first, third) == ["questions"]
    assert card_hash(first) != card_hash(second)


def test_lines_of_two_cards_in_one_file_are_refused(played, tmp_path):
    first, second = played("a"), played("b", "uniform")
    lines = (first / "result.jsonl").read_text().splitlines()
    foreign = (second / "result.jsonl").read_text().splitlines()
    (tmp_path / "mixed.jsonl").write_text("\n".join([*lines, foreign[1]]))
    with pytest.raises(InputError) as error:
        read_result(tmp_path / "mixed.jsonl")
    assert (error.value.source, error.value.field) == (f"{tmp_path / 'mixed.jsonl'}:8", "card")


def test_a_card_that_was_edited_is_refused(played, tmp_path):
    text = (played("a") / "result.jsonl").read_text()
    (tmp_path / "edited.jsonl").write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(InputError) as error:
        read_result(tmp_path / "edited.jsonl")
    assert (error.value.source, error.value.field) == (str(tmp_path / "edited.jsonl"), "card")


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [],
        lambda lines: lines[:1],
        lambda lines: lines[1:],
        lambda lines: [lines[0], "{"],
        lambda lines: [lines[0], "[]"],
        lambda lines: [lines[0], lines[1].replace('"status": "answered"', '"status": "sleeping"')],
        lambda lines: [lines[0], lines[1].replace('"visits": ', '"visit": ')],
        lambda lines: [lines[0], lines[1].replace('"evidence": [', '"evidence": [3, ')],
    ],
)
def test_a_damaged_file_is_an_input_error(change, played, tmp_path):
    lines = (played("a") / "result.jsonl").read_text().splitlines()
    (tmp_path / "bad.jsonl").write_text("\n".join(change(lines)))
    with pytest.raises(InputError) as error:
        read_result(tmp_path / "bad.jsonl")
    assert error.value.source.startswith(str(tmp_path / "bad.jsonl"))


def test_a_folder_without_a_result_is_an_input_error(tmp_path):
    with pytest.raises(InputError) as error:
        read_result(tmp_path)
    assert (error.value.source, error.value.field) == (str(tmp_path / "result.jsonl"), "file")


def test_labels_come_apart_at_bars():
    assert labels_of("a|b c|d") == ("a", "b c", "d")
    assert labels_of("") == ("all",)


def test_pass_at_k_is_the_chance_of_a_right_one_among_k(played):
    summary = json.loads((played("a", "random", samples=4, visits=0) / "summary.json").read_text())["policies"][
        "random"
    ]
    found = summary["pass_at"]
    assert list(found) == ["1", "2", "4"]
    assert found["1"] == summary["accuracy"]
    assert found["1"] <= found["2"] <= found["4"]
