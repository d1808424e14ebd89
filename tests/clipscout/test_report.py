"""`clipscout report`: one page of any runs, from their files alone."""

import json

import pytest
import yaml

from clipscout.report import report
from clipscout.view.overview import Overview
from clipscout.view.runs import find_runs
from navigation import InputError, write_jsonl


@pytest.fixture
def trained(runs):
    """The house's runs with an SFT beside them."""
    folder = runs / "sft"
    write_jsonl(folder / "metrics.jsonl", ({"step": step, "loss": 1 / step} for step in range(1, 5)))
    config = {"max_steps": 4, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 3, "learning_rate": 0.1}
    (folder / "resolved_config.yaml").write_text(yaml.safe_dump(config))
    return runs


def test_any_runs_make_a_page(trained, capsys):
    report([trained / "eval", trained / "sft"], trained / "out.html")
    page = (trained / "out.html").read_text()
    assert capsys.readouterr().out.strip() == str(trained / "out.html")
    for text in ("6 questions on 1 video", "random", "4 steps of 6 trajectories, learning rate 0.1", "right in 25 %"):
        assert text in page
    # A question of each kind, by two policies.
    assert page.count('class="card episode"') == 4
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_episodes_are_shown_of_an_evaluation_whose_own_questions_have_no_trees(trained, monkeypatch):
    monkeypatch.chdir(trained)
    questions = next(trained.rglob("questions.jsonl"))
    (trained / "asked").mkdir()
    (trained / "asked" / "questions.jsonl").write_bytes(questions.read_bytes())
    for folder in (trained / "eval").iterdir():
        (folder / "resolved_config.yaml").write_text(yaml.safe_dump({"data": "asked"}))
    report([trained / "eval"], trained / "out.html")
    assert 'class="card episode"' in (trained / "out.html").read_text()


def test_evaluations_on_other_questions_stand_apart(trained):
    path = trained / "eval/random/trajectories.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_jsonl(path, rows[:4])
    report([trained], trained / "out.html")
    page = (trained / "out.html").read_text()
    assert "6 questions on 1 video" in page
    assert "4 questions on 1 video" in page
    assert (trained / "accuracy_against_visits_2.png").is_file()


def test_a_summary_is_believed_as_long_as_it_fits_its_rows(trained):
    folder = trained / "eval/random"
    figures = {"accuracy": 0.125, "visits": 2.0, "n": 6, "by_kind": {"what": {"n": 6, "accuracy": 0.125}}}
    (folder / "summary.json").write_text(json.dumps({"policies": {"random": figures}}))
    overview = Overview(find_runs([folder]))
    assert [run.summary["accuracy"] for run in overview.table()] == [0.125]
    rows = [json.loads(line) for line in (folder / "trajectories.jsonl").read_text().splitlines()]
    write_jsonl(folder / "trajectories.jsonl", rows[:5])
    assert overview.table()[0].summary["n"] == 5
    assert overview.table()[0].summary["accuracy"] != 0.125


@pytest.mark.parametrize("order", ["accuracy", "visits-", "name", "grounding-"])
def test_the_table_of_runs_is_sorted_by_a_column(trained, order):
    table = Overview(find_runs([trained])).table(order)
    name = order.rstrip("-")
    values = [run.label if name == "name" else run.summary[name] for run in table]
    assert values == sorted(values, reverse=order.endswith("-"))


def test_what_cannot_be_is_refused(trained):
    with pytest.raises(InputError) as error:
        report([trained], trained)
    assert error.value.field == "--out"
    with pytest.raises(InputError) as error:
        Overview(find_runs([trained])).table("beauty")
    assert error.value.field == "order"
