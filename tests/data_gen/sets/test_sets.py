import asyncio
import json

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from data_gen.corpora import write_corpus
from data_gen.corpora.small_world import load
from data_gen.expert import Expert
from data_gen.filters import FilterSettings
from data_gen.sets import Blocklist, SetSettings, export_sets
from data_gen.sets.parquet import ParquetFile
from navigation import (
    TOOLS,
    InputError,
    NavigationEnvironment,
    Question,
    TreeStore,
    read_jsonl,
    read_questions,
    run,
    write_jsonl,
)
from navigation.prompt import chat_template
from navigation.question import held_out


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """The expert's trajectories, one wrong, over twelve videos."""
    folder = tmp_path_factory.mktemp("traces")
    write_corpus(load(seed=2, videos=12, limit=48), folder)
    questions = list(read_questions(folder / "questions.jsonl"))
    expert, trees = Expert(questions, wander=0.3, verify=0.5), TreeStore(folder / "trees")

    async def trajectory():
        return [await run(expert, NavigationEnvironment(trees), question) for question in questions]

    trajectories = asyncio.run(trajectory())
    trajectories[0].prediction, trajectories[0].correct = "Z", False
    write_jsonl(folder / "trajectories.jsonl", (each.to_dict() for each in trajectories))
    return folder


@pytest.fixture
def loaded(traces, tmp_path):
    from datasets import load_dataset

    settings = SetSettings(0.3, FilterSettings(near_duplicates=None))
    report = export_sets(traces, tmp_path / "sets", settings)
    read = {
        name: load_dataset(str(tmp_path / "sets"), name, cache_dir=str(tmp_path / "cache")) for name in ("sft", "rl")
    }
    return report, read


def test_load_dataset_gives_back_the_conversations(traces, loaded):
    report, read = loaded
    trajectories = {row["id"]: row for _, row in read_jsonl(traces / "trajectories.jsonl")}
    rows = [row for split in read["sft"].values() for row in split]
    assert len(rows) == len(trajectories) - 1 == report.filter.kept
    # Arguments of two shapes in one column: neither gains a null for the key that it lacks.
    assert {visit["tool"] for trajectory in trajectories.values() for visit in trajectory["visits"]} == {
        "get_caption",
        "video_qa",
    }
    for row in rows:
        assert row["messages"] == trajectories[row["id"]]["messages"]
        shown = {"tools": TOOLS, "return_assistant_tokens_mask": True}
        loaded_text = render_jinja_template([row["messages"]], chat_template=chat_template(), **shown)
        assert loaded_text == render_jinja_template(
            [trajectories[row["id"]]["messages"]], chat_template=chat_template(), **shown
        )
        assert row["tools"] == trajectories[row["id"]]["tools"]
        assert row["visits"] == len(trajectories[row["id"]]["visits"])


def test_the_same_rows_stand_beside_them_as_json_lines(loaded, tmp_path):
    from datasets import load_dataset

    _, read = loaded
    for name, splits in read.items():
        for split, rows in splits.items():
            path = tmp_path / "sets" / name / f"{split}.jsonl"
            assert [row for _, row in read_jsonl(path)] == list(rows)
            lines = load_dataset("json", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
            assert lines["id"] == rows["id"]
    assert "need `datasets` 4.7 or newer" in (tmp_path / "sets" / "README.md").read_text()


def test_half_a_surrogate_pair_is_written_as_its_escape(tmp_path):
    with ParquetFile(tmp_path / "x.parquet", {"id": "text", "messages": "json_list"}) as file:
        file.write({"id": "a", "messages": [{"content": "\ud800 é"}]})
    assert (tmp_path / "x.jsonl").read_bytes() == b'{"id": "a", "messages": [{"content": "\\ud800 \xc3\xa9"}]}\n'


def test_rl_rows_hold_prompt_and_question(traces, loaded):
    _, read = loaded
    questions = {question.id: question for question in read_questions(traces / "questions.jsonl")}
    rows = [row for split in read["rl"].values() for row in split]
    assert len(rows) == len(questions)
    for row in rows:
        assert Question.from_dict(row) == questions[row["id"]]
        assert row["prompt"][0]["role"] == "system"
        assert row["pass_rate"] is None


def test_no_video_is_in_both_splits_of_any_set(loaded):
    _, read = loaded
    train = {video for name in read for video in read[name]["train"]["video_id"]}
    test = {video for name in read for video in read[name]["test"]["video_id"]}
    assert train
    assert test
    assert not train & test
    assert all(held_out(video, 0.3) for video in test)


def test_the_card_tells_the_real_figures(traces, loaded, tmp_path):
    _, read = loaded
    card = (tmp_path / "sets" / "README.md").read_text()
    assert f"| sft | {len(read['sft']['train'])} | {len(read['sft']['test'])} |" in card
    assert "| wrong | 1 |" in card


def test_blocked_questions_and_videos_are_in_no_set(traces, tmp_path):
    from datasets import load_dataset

    questions = list(read_questions(traces / "questions.jsonl"))
    video = questions[-1].video_id
    asked = next(question for question in questions if question.video_id != video)
    (tmp_path / "bench.jsonl").write_text(json.dumps({"question": asked.question.upper() + "!!"}) + "\n")
    (tmp_path / "videos.txt").write_text(f"{video}\n")
    block = Blocklist.load([tmp_path / "bench.jsonl", tmp_path / "videos.txt"])
    report = export_sets(traces, tmp_path / "sets", blocklist=block)
    assert report.blocked["video"] == sum(question.video_id == video for question in questions)
    assert report.blocked["question"] >= 1
    for name in ("sft", "rl"):
        read = load_dataset(str(tmp_path / "sets"), name, cache_dir=str(tmp_path / "cache"))
        for split in read.values():
            assert video not in split["video_id"]
            assert asked.id not in split["question_id" if name == "sft" else "id"]


def test_long_questions_are_blocked_by_overlap_and_short_ones_by_equality():
    text = "What does the man in the red coat do after he has opened the small green door of the house?"
    block = Blocklist(questions=[(text, ()), ("Why?", ("a", "b"))])

    def reason(text, options=("x", "y")):
        return block.reason(Question("q", "v", text, options, "A", (), 1.0))

    assert reason(text.replace("house", "barn")) == "overlap"
    assert reason("What does the man do with the door of the house after lunch at the market?") == ""
    assert reason("why") == ""
    assert reason("Why?", ("B", "A")) == "question"


def test_the_pass_rate_is_a_column_and_filters_training_questions(traces, tmp_path):
    from datasets import load_dataset

    questions = list(read_questions(traces / "questions.jsonl"))
    rates = {question.id: (0.0, 0.5, 1.0)[number % 3] for number, question in enumerate(questions[1:])}
    settings = SetSettings(0.3)
    report = export_sets(traces, tmp_path / "sets", settings, pass_rates=rates)
    read = load_dataset(str(tmp_path / "sets"), "rl", cache_dir=str(tmp_path / "cache"))
    assert set(read["train"]["pass_rate"]) == {0.5}
    training = [question for question in questions if not held_out(question.video_id, 0.3)]
    assert len(read["train"]) + report.difficulty_dropped + report.no_pass_rate == len(training)


def test_nothing_left_is_an_error_and_leaves_no_files(traces, tmp_path):
    videos = {question.video_id for question in read_questions(traces / "questions.jsonl")}
    with pytest.raises(InputError) as error:
        export_sets(traces, tmp_path / "sets", blocklist=Blocklist(videos))
    assert error.value.field == "trajectories.jsonl"
