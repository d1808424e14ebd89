"""A loader outside the package, and a folder without one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clipscout.main import app
from data_gen.corpora import folder_corpus, load_corpus, write_corpus
from navigation import InputError, read_questions

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "your_corpus.py"
STEPS = ["wash the rice", "peel a carrot", "boil water", "chop onions", "fry garlic", "serve soup"]


def own_data(folder, videos=4):
    """Steps in CSV and questions as a download has them, times in two clocks."""
    folder.mkdir(exist_ok=True)
    lines = ["video,start,end,text"]
    for video in range(videos):
        for place, step in enumerate(STEPS[video % 2 :] + STEPS[: video % 2]):
            lines.append(f"v{video},0:{place}:00.000,{60 * place + 55},{step}")
    lines.append(f"v{videos - 1},later,9:99,nothing")
    questions = [
        {"video": f"v{video}", "question": "What is washed?", "choices": ["a carrot", "the rice", "water", "soup"],
         "answer": "the rice", "from": "<TIME 00:00:03.720 video 1>", "to": "0:00:40,500"}
        for video in range(videos)
    ]  # fmt: skip
    questions.append({**questions[0], "answer": "tea"})
    (folder / "steps.csv").write_text("\n".join(lines) + "\n")
    (folder / "questions.json").write_text(json.dumps(questions))
    return folder


def test_the_example_is_short_and_reads_steps_and_questions(tmp_path):
    assert len(EXAMPLE.read_text().splitlines()) <= 40
    corpus = load_corpus(str(EXAMPLE), own_data(tmp_path / "data"))
    native = [question for question in corpus.questions if not question.kind]
    assert [question.clue_intervals for question in native] == [((3.72, 40.5),)] * 4
    assert {question.kind for question in corpus.questions} == {"", "after", "before", "when"}
    assert corpus.skipped_by_reason == {"time not understood": 1, "answer not among the options": 1}
    stats = write_corpus(corpus, tmp_path / "out")
    assert stats["trees"] == 4


def test_a_limit_and_a_seed_act_as_for_every_corpus(tmp_path):
    data = own_data(tmp_path / "data")
    few = [load_corpus(str(EXAMPLE), data, seed=1, limit=5) for _ in range(2)]
    assert [each.questions for each in few[:1]] == [each.questions for each in few[1:]]
    assert len(few[0].questions) == 5
    assert {tree.video_id for tree in few[0].trees} == {question.video_id for question in few[0].questions}


@pytest.mark.parametrize("text", [None, "x = 1", "def load(folder): ...", "def load(data, seed, limit): return []"])
def test_what_is_no_loader_is_said(text, tmp_path):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as error:
        load_corpus(str(path), None)
    assert error.value.field in ("load", "name")


def test_a_folder_with_questions_and_trees_gets_trajectories(tmp_path):
    folder = tmp_path / "mine"
    write_corpus(load_corpus(str(EXAMPLE), own_data(tmp_path / "data")), folder)
    before = (folder / "questions.jsonl").read_bytes()
    result = CliRunner().invoke(app, ["traces", str(folder), "--limit", "12"])
    assert result.exit_code == 0, result.output
    assert "random sample" in result.stderr
    assert (folder / "questions.jsonl").read_bytes() == before
    assert len((folder / "trajectories.jsonl").read_text().splitlines()) == 12
    again = CliRunner().invoke(
        app, ["traces", "--data", str(folder), "--out", str(tmp_path / "other"), "--limit", "12"]
    )
    assert again.exit_code == 0, again.output
    assert len(list(read_questions(tmp_path / "other" / "questions.jsonl"))) == 12
    for name in ("other", "mine"):
        assert (tmp_path / name / "trajectories.jsonl").read_text() == (folder / "trajectories.jsonl").read_text()


def test_trajectories_of_somebody_else_stay(tmp_path):
    write_corpus(load_corpus(str(EXAMPLE), own_data(tmp_path / "data")), tmp_path / "mine")
    (tmp_path / "mine" / "trajectories.jsonl").write_text("mine\n")
    result = CliRunner().invoke(app, ["traces", str(tmp_path / "mine")])
    assert isinstance(result.exception, InputError)
    assert result.exception.field == "folder"
    assert (tmp_path / "mine" / "trajectories.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize("gone", ["questions.jsonl", "trees"])
def test_a_folder_without_questions_or_trees_is_no_corpus(gone, tmp_path):
    (tmp_path / ("trees" if gone == "questions.jsonl" else "x")).mkdir()
    if gone == "trees":
        (tmp_path / "questions.jsonl").touch()
    with pytest.raises(InputError) as error:
        folder_corpus(tmp_path)
    assert gone in error.value.value


@pytest.mark.parametrize(
    "arguments", [[], ["x", "--corpus", "goalstep"], ["x", "--data", "y"], ["--corpus", "goalstep"]]
)
def test_what_traces_are_of_is_said_once(arguments):
    result = CliRunner().invoke(app, ["traces", *arguments])
    assert isinstance(result.exception, InputError)


def test_every_policy_takes_a_ceiling_and_failures_have_a_reason(tmp_path):
    """A loop over policies gives each the same options; the expert fails where no clue is known, and says so."""
    folder = tmp_path / "mine"
    corpus = load_corpus(str(EXAMPLE), own_data(tmp_path / "data"))
    corpus.questions = [replace(each, clue_intervals=()) if not each.kind else each for each in corpus.questions]
    write_corpus(corpus, folder)
    for policy in ("expert", "exhaustive", "uniform"):
        arguments = [
            "eval",
            "--policy",
            policy,
            "--visits",
            "3",
            "--data",
            str(folder),
            "--out",
            str(tmp_path / policy),
        ]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert ("no effect" in result.stderr) == (policy != "uniform")
        (summary,) = json.loads((tmp_path / policy / "summary.json").read_text())["policies"].values()
        assert list(summary.get("failures", {}).values()) == ([4] if policy == "expert" else [])
        assert ("4 failed: the expert needs" in result.stdout) == (policy == "expert")
