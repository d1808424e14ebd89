import json

import pytest
import typer
from typer.testing import CliRunner

from clipscout.score import score
from navigation import CaptionTree, InputError, Question, Status, TimeGrid, Trajectory, TreeStore, Visit, write_jsonl

GRID = TimeGrid(270.0, 3, 3)


@pytest.fixture
def folder(tmp_path):
    TreeStore(tmp_path / "trees").save(CaptionTree("v", GRID, dict.fromkeys(GRID.paths(), "…")))
    question = Question("[red]q[/red]", "v", "?", ("x", "y"), "B", ((95.0, 99.0),), 270.0)
    write_jsonl(tmp_path / "questions.jsonl", [question.to_dict()])
    rows = [
        Trajectory(
            id=f"{question.id}#{number}", question_id=question.id, video_id="v", messages=[], tools=[],
            prediction=letter, correct=letter == "B", status=status,
            visits=[Visit("get_caption", (2, 1)), Visit("get_caption", path)],
        ).to_dict()
        for number, (letter, status, path) in enumerate([
            ("B", Status.ANSWERED, (2, 1, 1)), ("A", Status.ANSWERED, (3,)), (None, Status.FAILED, (3,)),
        ])
    ]  # fmt: skip
    write_jsonl(tmp_path / "trajectories.jsonl", rows)
    return tmp_path


def invoke(folder, *more: str):
    app = typer.Typer()
    app.command()(score)
    arguments = [str(folder / "trajectories.jsonl"), "--questions", str(folder / "questions.jsonl"), *more]
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, [*arguments, "--trees", str(folder / "trees")])


def test_prints_every_visit_and_the_means(folder) -> None:
    result = invoke(folder)
    assert result.exit_code == 0, result.output
    assert "[red]q[/red]#0: answered, B (B is right)" in result.output
    assert "holds 4.0 s of clue, opened as finely as can be; within the budget" in result.output
    assert "total 1.300 = answer +1 x 1.000, grounding +0.3 x 1.000" in result.output
    assert "holds no clue time; free: only right answers pay" in result.output
    assert "total: none; the policy failed" in result.output
    assert "Mean of 3 episodes" in result.output
    assert "2 of 3" in result.output


def test_long_files_are_cut_but_counted(folder) -> None:
    result = invoke(folder, "--show", "1")
    assert "2 more episodes, not shown" in result.output
    assert "#1" not in result.output


def test_reads_the_reward_section_of_a_config(folder) -> None:
    (folder / "run.yaml").write_text(json.dumps({"model": "x", "reward": {"answer": {"weight": 5}}}))
    assert "total 5.300" in invoke(folder, "--config", str(folder / "run.yaml")).output


@pytest.mark.parametrize("missing", ["questions.jsonl", "trajectories.jsonl"])
def test_bad_input_is_named(folder, missing) -> None:
    (folder / missing).write_text("")
    if missing == "questions.jsonl":
        assert isinstance(invoke(folder).exception, InputError)
    else:
        assert "Mean of 0 episodes" in invoke(folder).output
