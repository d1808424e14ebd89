import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from clipscout.main import app
from longvideo_r1.rows import import_released_rl, import_released_sft, longest_only
from navigation import Question, SkippedRow, Status, read_questions
from navigation.prompt import SYSTEM
from navigation.trajectory import read_trajectories

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


GENERATED = {
    "question": "Which hat?", "choices": ["red", "blue"], "right_answer": "B", "video_uid": "v1", "duration": 600.0,
    "clue_intervals": [[200.0, 230.0]], "width": 4, "fps": 25.0, "pred": "B",
    "output": [
        "<think>a</think>\n<tool>get_caption((2,1))</tool>", "<think>b</think><tool>get_caption((2,1,3))</tool>",
        '<think>c</think><tool>video_qa((2,1,3), "what colour?")</tool>', "<think>d</think><answer>B</answer>",
    ],
    "video_qa_results": ["<think>x</think><answer>It is blue.</answer>"],
}  # fmt: skip


def captions(folder):
    levels = [
        [
            {"segment_id": n + 1, "level": name, "caption": f"<caption> {name} {n} </caption>",
             "frame_time": [round(600 / 4**level * n, 1), round(600 / 4**level * (n + 1) - 0.04, 1)], "frame_ids": []}
            for n in range(4**level)
        ]
        for level, name in enumerate(("high", "medium", "low"), 1)
    ]  # fmt: skip
    folder.mkdir()
    (folder / "v1.json").write_text(json.dumps({"video_name": "v1.mp4", "width": 4, "captions": levels}))
    return folder


def imported(rows, tmp_path, *more):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [str(tmp_path / "rows.jsonl"), str(tmp_path / "out"), *more]
    result = CliRunner().invoke(app, ["import-released", *given])
    assert result.exit_code == 0, result.output
    return result.output


def test_rows_of_the_released_generator_come_with_their_trajectories(tmp_path):
    told = imported([GENERATED], tmp_path, "--captions", str(captions(tmp_path / "captions")))
    assert "1 questions on 1 videos, 1 of 1 trajectories, 0 skipped" in told
    (found,) = read_trajectories(tmp_path / "out" / "trajectories.jsonl")
    assert (found.prediction, found.correct, found.status) == ("B", True, Status.ANSWERED)
    assert [(visit.tool, visit.path) for visit in found.visits] == [
        ("get_caption", (2, 1)), ("get_caption", (2, 1, 3)), ("video_qa", (2, 1, 3)),
    ]  # fmt: skip
    replies = [message["content"] for message in found.messages if message["role"] == "tool"]
    assert "medium 4" in replies[0]
    assert "low 18" in replies[1]
    assert replies[2] == "It is blue."
    assert [m["reasoning_content"] for m in found.messages if m["role"] == "assistant"] == ["a", "b", "c", "d"]
    assert (tmp_path / "out" / "trees" / "v1.json").is_file()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"video_uid": "v2"}, "no caption file"),
        ({"output": "Error code: 500", "pred": None}, "generation failed"),
        ({"output": [], "pred": None}, "no trajectory"),
        ({"output": ["what?"]}, "assistant turn"),
        ({"video_qa_results": []}, "video_qa result is missing"),
        ({"output": ["<think>a</think><tool>get_caption((9,9))</tool>", GENERATED["output"][3]]}, "call refused"),
    ],
)
def test_a_trajectory_that_cannot_be_imported_is_counted_with_its_reason(change, reason, tmp_path):
    told = imported([GENERATED, GENERATED | change], tmp_path, "--captions", str(captions(tmp_path / "captions")))
    assert "1 of 2 trajectories, 1 skipped" in told
    (skipped,) = map(json.loads, (tmp_path / "out" / "skipped.jsonl").read_text().splitlines())
    assert skipped["reason"] == reason


def test_without_caption_files_the_questions_come_and_the_trajectories_are_counted(tmp_path):
    told = imported([GENERATED], tmp_path)
    assert "1 questions on 1 videos, 0 of 1 trajectories, 1 skipped" in told
