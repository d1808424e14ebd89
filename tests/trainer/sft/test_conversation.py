"""What a user wrote is trained on as it was meant, in token ids and masks, or its row is refused by its number."""

import copy
import json

import pytest
from datasets import Dataset
from dialogue import MESSAGES, TOOLS, golden_tokenizer

from data_gen.sets import SetSettings, export_sets
from navigation import InputError
from trainer.data import TracesFolder, open_data
from trainer.supervision import encode, supervise

TOKENIZER = golden_tokenizer()
WHOLE = encode({"messages": MESSAGES, "tools": TOOLS}, TOKENIZER)
BY_PARTS = [{"type": "text", "text": "Navigate the "}, {"type": "text", "text": "tree.", "image": None}]


def changed(place, drop=(), **fields):
    """The golden messages with one of them changed."""
    messages = copy.deepcopy(MESSAGES)
    messages[place] = {key: value for key, value in messages[place].items() if key not in drop} | fields
    return messages


def with_call(**fields):
    return changed(2, tool_calls=[{"type": "function", "function": {"name": "get_caption"} | fields}])


def with_text_arguments():
    messages = copy.deepcopy(MESSAGES)
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["id"], call["function"]["arguments"] = "call_1", json.dumps(call["function"]["arguments"])
    return messages


@pytest.mark.parametrize(
    "messages",
    [
        changed(2, drop=["reasoning_content"], reasoning="The park is in [2]."),
        changed(2, reasoning="The park is in [2]."),
        changed(2, reasoning=None, refusal=None, annotations=[], audio=None),
        changed(2, drop=["reasoning_content"], content="<think>\nThe park is in [2].\n</think>\n\n"),
        changed(2, reasoning_content=[{"type": "text", "text": "The park is in [2]."}]),
        changed(0, content=BY_PARTS),
        changed(1, content=[{"type": "text", "text": MESSAGES[1]["content"]}], train=False),
        changed(3, content=[{"type": "text", "text": MESSAGES[3]["content"]}], tool_call_id="call_1"),
        changed(6, content=[{"type": "text", "text": "<answer>"}, {"type": "text", "text": "B</answer>"}]),
        changed(6, train=True),
        with_text_arguments(),
    ],
)
def test_ways_to_write_the_same_are_the_same_tokens(messages):
    assert encode({"messages": messages, "tools": TOOLS}, TOKENIZER) == WHOLE
    assert encode({"messages": messages, "tools": json.dumps(TOOLS)}, TOKENIZER) == WHOLE
    rows = Dataset.from_list([{"messages": messages, "tools": TOOLS}], on_mixed_types="use_json")
    made, _ = supervise(rows, TOKENIZER)
    assert (made[0]["input_ids"], made[0]["labels"]) == (WHOLE["input_ids"], WHOLE["labels"])


IMAGE = [{"type": "text", "text": "Look: "}, {"type": "image_url", "image_url": {"url": "data:…"}}]


@pytest.mark.parametrize(
    ("messages", "field", "value"),
    [
        (changed(2, reasoning="Another thought."), "messages[2].reasoning", "Another thought."),
        (changed(1, content=IMAGE), "messages[1].content[1].type", "image_url"),
        (changed(1, content=["words"]), "messages[1].content[0].type", "str"),
        (changed(1, content=[{"type": "text"}]), "messages[1].content[0].text", None),
        (changed(1, content={"text": "words"}), "messages[1].content", {"text": "words"}),
        (changed(1, content=None), "messages[1].content", None),
        (changed(2, thinking="Hm."), "messages[2].thinking", "Hm."),
        (changed(2, refusal="I cannot."), "messages[2].refusal", "I cannot."),
        (changed(1, name="Ann"), "messages[1].name", "Ann"),
        (changed(1, reasoning_content="Hm."), "messages[1].reasoning_content", "Hm."),
        (changed(1, train=True), "messages[1].train", True),
        (changed(1, role="developer"), "messages[1].role", "developer"),
        (changed(6, drop=["reasoning_content"], content="So <think>a</think> b"), "messages[6].content", None),
        (changed(6, drop=["reasoning_content"], content="a</think>b</think>c"), "messages[6].content", None),
        (with_call(arguments='{"segment": [2'), "messages[2].tool_calls[0].function.arguments", '{"segment": [2'),
        (with_call(arguments="[2, 3]"), "messages[2].tool_calls[0].function.arguments", [2, 3]),
        (with_call(arguments=None), "messages[2].tool_calls[0].function.arguments", None),
        (with_call(), "messages[2].tool_calls[0].function.arguments", None),
        (
            with_call(arguments={"segment": [2], "query": None}),
            "messages[2].tool_calls[0].function.arguments.query",
            None,
        ),
        (with_call(name="", arguments={}), "messages[2].tool_calls[0].function.name", ""),
        (with_call(arguments={}, comment="Hm."), "messages[2].tool_calls[0].function.comment", "Hm."),
        (changed(2, tool_calls="get_caption"), "messages[2].tool_calls", "get_caption"),
        (changed(2, function_call={"name": "x"}), "messages[2].function_call", {"name": "x"}),
        (["hello"], "messages[0]", "hello"),
        ([], "messages", []),
        (None, "messages", None),
    ],
)
def test_what_would_not_be_learned_is_refused(messages, field, value):
    with pytest.raises(InputError) as error:
        encode({"messages": messages, "tools": TOOLS}, TOKENIZER, "sets/sft/train.parquet: row 7")
    assert (error.value.source, error.value.field) == ("sets/sft/train.parquet: row 7", field)
    assert value is None or error.value.value == value
    assert error.value.hint


def test_a_row_of_a_set_is_named_by_file_and_number():
    rows = Dataset.from_list(
        [{"messages": MESSAGES, "tools": TOOLS}, {"messages": changed(2, note="Hm."), "tools": TOOLS}],
        on_mixed_types="use_json",
    )
    with pytest.raises(InputError) as error:
        supervise(rows, TOKENIZER, source="sets/sft/train.parquet")
    assert (error.value.source, error.value.field) == ("sets/sft/train.parquet: row 1", "messages[2].note")


def test_trajectories_in_other_hands_shapes_train_alike(traces, base, tmp_path):
    """A traces folder whose trajectories come from an OpenAI-compatible server: same ids, and sets of it too."""
    from trainer.checkpoint import load_tokenizer

    tokenizer, other = load_tokenizer(str(base)), tmp_path / "traces"
    other.mkdir()
    for name in ("questions.jsonl", "trees"):
        (other / name).symlink_to(traces / name)
    lines = (traces / "trajectories.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        for message in record["messages"]:
            message["content"] = [{"type": "text", "text": message["content"]}]
            if message["role"] == "assistant":
                message["reasoning"] = message.pop("reasoning_content")
            for call in message.get("tool_calls", ()):
                call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    (other / "trajectories.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    expected = supervise(TracesFolder(traces).sft_dataset(held=False), tokenizer)[0]
    assert list(supervise(TracesFolder(other).sft_dataset(held=False), tokenizer)[0]) == list(expected)
    records[3]["messages"][1]["note"] = "Hm."
    (other / "trajectories.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(InputError) as error:
        TracesFolder(other, 0.0).sft_dataset(held=False)
    assert (error.value.source, error.value.field) == (f"{other}/trajectories.jsonl:4", "messages[1].note")
    (other / "trajectories.jsonl").write_text("\n".join([*lines[:2], lines[2][:40]]))
    with pytest.raises(InputError) as error:
        TracesFolder(other).sft_dataset(held=False)
    assert (error.value.source, error.value.field) == (f"{other}/trajectories.jsonl:3", "line")


def test_sets_train_as_the_folder_they_are_made_of(traces, base, tmp_path):
    from trainer.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(str(base))
    export_sets(traces, tmp_path / "sets", SetSettings(0.3))
    made = open_data(tmp_path / "sets", 0.3)
    whole = TracesFolder(traces, 0.3)
    ids = [row["input_ids"] for row in supervise(made.sft_dataset(held=False), tokenizer)[0]]
    assert sorted(ids) == sorted(row["input_ids"] for row in supervise(whole.sft_dataset(held=False), tokenizer)[0])
    assert made.sft_source(held=False) == str(tmp_path / "sets" / "sft" / "train.parquet")
