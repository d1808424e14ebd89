import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from clipscout.main import app
from longvideo_r1.rows import import_released_rl, import_released_sft, longest_only
from navigation import Question, SkippedRow, read_questions
from navigation.prompt import SYSTEM

RELEASED = {
    "question": "Which?", "choices": ["A. red", "B. blue"], "right_answer": "B", "video_uid": "v1",
    "clue_intervals": "[[8, 11.5]]", "width": 6, "duration": 2741, "fps": 25.0,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"right_answer": "(b)"},
        {"right_answer": "blue"},
        {"choices": {"A": "red", "B": "blue"}},
        {"choices": "['red', 'blue']"},
    ],
)
def test_released_rl_rows_become_questions(change):
    (question,) = import_released_rl([RELEASED | change])
    assert (question.options, question.answer, question.video_id) == (("red", "blue"), "B", "v1")
    assert question.clue_intervals == ((8.0, 11.5),)


@pytest.mark.parametrize("change", [{"right_answer": "green"}, {"duration": 0}, {"choices": "__import__('os')"}])
def test_unusable_released_rows_are_skipped_with_a_reason(change):
    (row,) = import_released_rl([RELEASED | change])
    assert isinstance(row, SkippedRow)
    assert row.detail


def test_released_conversations_become_tool_calls():
    row = {
        "conversations": [
            {"from": "system", "value": "s"}, {"from": "human", "value": "q"},
            {"from": "gpt", "value": "<think>a</think><tool>get_caption((2,5))</tool>"},
            {"from": "human", "value": "a man walks"},
            {"from": "gpt", "value": "<think>b</think>\n<answer>B</answer>"},
        ]
    }  # fmt: skip
    (made,) = import_released_sft([row])
    roles = [message["role"] for message in made["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert made["messages"][2]["tool_calls"][0]["function"]["arguments"] == {"segment": [2, 5]}
    row["conversations"][2]["value"] = "nothing"
    (skipped,) = import_released_sft([row])
    assert skipped.reason == "assistant turn"


TEXTS = [
    "<think>a</think>\n<tool>get_caption((2,5))</tool>",
    "<think>b</think><tool>get_caption((2,5,1))</tool>",
    "<think>c</think><tool>video_qa((2,5,1), what colour is the hat?)</tool>",
    "<think>d</think><answer>B</answer>",
]


def alpaca(turns):
    """The released file's row for the first turns of a trajectory."""
    asked = [
        "Which hat?\nA. red\nB. blue\n",
        "Medium-level Caption …",
        "Low-level Caption …",
        "<information>blue</information>",
    ]
    history = [[asked[turn], TEXTS[turn]] for turn in range(turns - 1)]
    row = {"instruction": asked[turns - 1], "input": "", "output": TEXTS[turns - 1]}
    return {**row, "system": "You are a reasoning assistant", "history": history}


def test_alpaca_rows_become_messages_with_tool_replies():
    (made,) = import_released_sft([alpaca(4)])
    roles = [message["role"] for message in made["messages"]]
    assert roles == ["system", "user", *["assistant", "tool"] * 3, "assistant"]
    assert made["messages"][0]["content"] == SYSTEM
    assert made["released_system"] == "You are a reasoning assistant"
    assert made["messages"][6]["tool_calls"][0]["function"]["arguments"] == {
        "segment": [2, 5, 1], "query": "what colour is the hat?",
    }  # fmt: skip
    assert made["messages"][7]["content"] == "<information>blue</information>"
    assert made["turns"] == 4


def test_of_a_trajectory_that_is_there_once_a_turn_the_whole_one_is_kept():
    rows = list(import_released_sft([alpaca(1), alpaca(3), alpaca(4), alpaca(2), alpaca(4)]))
    assert longest_only(rows) == [rows[2]]


def test_the_command_reads_published_files(tmp_path):
    from datasets import load_dataset

    (tmp_path / "sft.json").write_text(json.dumps([*map(alpaca, (1, 2, 3, 4)), {"instruction": "x", "output": "?"}]))
    result = CliRunner().invoke(app, ["import-released", str(tmp_path / "sft.json"), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "5 rows: 1 trajectories kept, 3 are earlier turns of one of them, 1 skipped" in result.output
    read = load_dataset(
        "parquet", data_files=str(tmp_path / "out/sft/train.parquet"), cache_dir=str(tmp_path / "cache")
    )
    (made,) = import_released_sft([alpaca(4)])
    assert read["train"][0]["messages"] == made["messages"]
    rows = [RELEASED | {"clue_intervals": [[8.0, 11.5]]}, RELEASED | {"clue_intervals": [], "right_answer": "Z"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rl.parquet")
    result = CliRunner().invoke(app, ["import-released", str(tmp_path / "rl.parquet"), str(tmp_path / "rl")])
    assert "2 rows: 1 questions on 1 videos, 1 skipped" in result.output
    (question,) = read_questions(tmp_path / "rl" / "questions.jsonl")
    assert isinstance(question, Question)
    assert json.loads((tmp_path / "rl" / "videos.jsonl").read_text()) == {
        "video_id": "v1", "width": 6, "duration": 2741, "fps": 25.0,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["{", "[]", "[1]", "{}", '[{"instruction": "x", "output": "?"}]'])
def test_files_that_hold_nothing_usable_are_an_error(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    assert CliRunner().invoke(app, ["import-released", str(tmp_path / "x.json"), str(tmp_path / "out")]).exit_code == 2
