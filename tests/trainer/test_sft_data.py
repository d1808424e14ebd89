"""What SFT supervises: every assistant turn to its end token, and nothing else."""

import pytest
from datasets import Dataset

from navigation import InputError, assistant_message
from navigation.tools import TOOLS
from trainer.checkpoint import load_tokenizer
from trainer.data import TracesFolder
from trainer.sft import tokenize

MESSAGES = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "In park?\nA. red\nB. blue\n"},
    assistant_message("Look for park", calls=[("get_caption", {"segment": [2, 3]})]),
    {"role": "tool", "name": "get_caption", "content": "6:24-7:28 [2, 3] park <answer>A</answer>"},
    assistant_message("Make sure.", calls=[("video_qa", {"segment": [2, 3, 1], "query": "colour"})]),
    {"role": "tool", "name": "video_qa", "content": "it is blue"},
    assistant_message("It says blue B", "<answer>B</answer>"),
]
SUPERVISED = [
    '<think>\nLook for park\n</think>\n\n<tool_call>\n{"name": "get_caption", "arguments": {"segment": [2, 3]}}\n'
    "</tool_call><|im_end|>",
    '<think>\nMake sure.\n</think>\n\n<tool_call>\n{"name": "video_qa", "arguments": {"segment": [2, 3, 1], "query": '
    '"colour"}}\n</tool_call><|im_end|>',
    "<think>\nIt says blue B\n</think>\n\n<answer>B</answer><|im_end|>",
]


def spans(ids, mask):
    found, current = [], []
    for token, supervised in zip([*ids, None], [*mask, 0], strict=True):
        if supervised:
            current.append(token)
        elif current:
            found.append(current)
            current = []
    return found


def test_supervised_spans_are_the_assistant_turns(base):
    tokenizer = load_tokenizer(str(base))
    rows, dropped = tokenize(Dataset.from_list([{"messages": MESSAGES, "tools": TOOLS}], on_mixed_types="use_json"),
                             tokenizer, None)  # fmt: skip
    assert dropped == 0
    ids, mask = rows[0]["input_ids"], rows[0]["assistant_masks"]
    assert [tokenizer.decode(span) for span in spans(ids, mask)] == SUPERVISED
    assert tokenizer.decode(ids) == tokenizer.apply_chat_template(MESSAGES, tools=TOOLS, tokenize=False)


def test_too_long_samples_are_dropped_whole_and_counted(base):
    tokenizer = load_tokenizer(str(base))
    data = Dataset.from_list(
        [{"messages": MESSAGES, "tools": TOOLS}, {"messages": [*MESSAGES[:2], MESSAGES[6]], "tools": TOOLS}],
        on_mixed_types="use_json",
    )
    lengths = [len(ids) for ids in tokenize(data, tokenizer, None)[0]["input_ids"]]
    rows, dropped = tokenize(data, tokenizer, max(lengths) - 1)
    assert dropped == 1
    assert [len(ids) for ids in rows["input_ids"]] == [min(lengths)]


def test_a_sample_without_supervised_tokens_is_an_error(base):
    data = Dataset.from_list([{"messages": MESSAGES[:2], "tools": TOOLS}], on_mixed_types="use_json")
    with pytest.raises(InputError, match="row 0"):
        tokenize(data, load_tokenizer(str(base)), None)


def test_the_split_is_by_video(traces):
    folder = TracesFolder(traces, 0.3)
    train = {question.video_id for question in folder.questions(held=False)}
    held = {question.video_id for question in folder.questions(held=True)}
    assert train
    assert held
    assert not train & held
    assert len(folder.sft_dataset(held=False)) + len(folder.sft_dataset(held=True)) == 60


def test_a_folder_without_walks_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match="make traces"):
        TracesFolder(tmp_path)


def test_a_share_of_rows_is_supervised_whole(base):
    data = Dataset.from_list([{"messages": MESSAGES, "tools": TOOLS}] * 10, on_mixed_types="use_json")
    rows, _ = tokenize(data, load_tokenizer(str(base)), None, whole_text_share=0.3)
    assert sum(all(mask) for mask in rows["assistant_masks"]) == 3
