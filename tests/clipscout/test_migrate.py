"""Checkpoints and trajectories of the former prompt, brought to this one or refused with the way."""

import json

import pytest
from typer.testing import CliRunner

from clipscout.main import app
from clipscout.migrate import migrate_checkpoint, migrate_trajectories
from navigation import (
    DEFAULT_TOOLS,
    TOOLS,
    CaptionTree,
    InputError,
    Question,
    TimeGrid,
    TreeStore,
    answer_message,
    initial_messages,
    write_jsonl,
)
from navigation.prompt import FORMER_TEMPLATES, chat_template, describe, question_text, template_hash
from navigation.tools import tool_schemas
from trainer.checkpoint import check_template
from trainer.conversation import conversation

QUESTION = Question("q", "v", "What is poured?", ("milk", "tea"), "B", (), 270.0)
FORMER = next(iter(FORMER_TEMPLATES))
LOOKING_UP = ("get_caption", "search")


@pytest.fixture
def former(tmp_path):
    """A traces folder as it was written before: the question first, tools with what they return."""
    grid = TimeGrid(270.0, 3, 2)
    tree = CaptionTree("v", grid, {path: f"caption of {list(path)}" for path in grid.paths()})
    folder = tmp_path / "traces"
    TreeStore(folder / "trees").save(tree)
    write_jsonl(folder / "questions.jsonl", [QUESTION.to_dict()])
    system, _ = initial_messages(QUESTION, tree)
    user = {"role": "user", "content": f"{question_text(QUESTION)}\n\n{describe(tree)}"}
    tools = [{**tool, "function": {**tool["function"], "return": {"type": "string"}}} for tool in TOOLS]
    messages = [system, user, answer_message("Tea.", "B")]
    row = {"id": "q#0", "question_id": "q", "video_id": "v", "messages": messages, "tools": tools}
    # Later the video came first, and letters stood before their options.
    _, user = initial_messages(QUESTION, tree)
    user["content"] = user["content"].replace("milk (A)", "A. milk").replace("tea (B)", "B. tea")
    messages = [*initial_messages(QUESTION, tree, LOOKING_UP)[:1], user, answer_message("Tea.", "B")]
    write_jsonl(folder / "trajectories.jsonl", [row, {**row, "messages": messages, "tools": tool_schemas(LOOKING_UP)}])
    return folder, tree


def test_trajectories_get_the_prompt_of_today(former, tmp_path):
    folder, tree = former
    for before in map(json.loads, (folder / "trajectories.jsonl").read_text().splitlines()):
        with pytest.raises(InputError) as error:
            conversation(before, "row 1")
        assert error.value.field == "messages[1].content"
    migrate_trajectories(folder, tmp_path / "out")
    rows = map(json.loads, (tmp_path / "out" / "trajectories.jsonl").read_text().splitlines())
    for row, tools in zip(rows, (DEFAULT_TOOLS, LOOKING_UP), strict=True):
        assert row["messages"] == [*initial_messages(QUESTION, tree, tools), answer_message("Tea.", "B")]
        assert row["tools"] == tool_schemas(tools)
        assert conversation(row, "row 1")["messages"][2]["content"] == "<answer>B</answer>"
    assert "v" in TreeStore(tmp_path / "out" / "trees")


def test_a_checkpoint_is_refused_with_the_way_and_brought_over(tmp_path):
    folder, out = tmp_path / "old", tmp_path / "new"
    folder.mkdir()
    (folder / "clipscout.json").write_text(json.dumps({"chat_template": FORMER, "step": 9}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "training_args.bin").write_bytes(b"pickle")
    with pytest.raises(InputError) as error:
        check_template(folder, None, chat_template())
    assert (error.value.field, error.value.value) == ("chat template", FORMER)
    assert "clipscout migrate" in error.value.hint
    migrate_checkpoint(folder, out)
    record = json.loads((out / "clipscout.json").read_text())
    assert record == {"chat_template": template_hash(chat_template()), "step": 9, "trained_under": FORMER}
    assert (out / "chat_template.jinja").read_text() == chat_template()
    assert {path.name for path in out.iterdir()} == {"clipscout.json", "model.safetensors", "chat_template.jinja"}
    check_template(out, chat_template(), chat_template())
    with pytest.raises(InputError) as error:
        migrate_checkpoint(out, tmp_path / "again")
    assert error.value.field == "chat_template"


def test_the_command_wants_a_new_folder_and_one_of_ours(former, tmp_path):
    folder, _ = former
    result = CliRunner().invoke(app, ["migrate", str(folder), str(folder)])
    assert isinstance(result.exception, InputError)
    result = CliRunner().invoke(app, ["migrate", str(tmp_path), str(tmp_path / "out")])
    assert isinstance(result.exception, InputError)
