"""What SFT learns: every assistant turn to its end token, and nothing else; over-long samples are cut between turns."""

import copy
import itertools

import pytest
from datasets import Dataset
from dialogue import MESSAGES, TOOLS, golden_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from navigation import InputError, write_json
from navigation.prompt import template_hash
from trainer.checkpoint import load_tokenizer
from trainer.data import TracesFolder
from trainer.supervision import IGNORED, Counts, encode, supervise, turn_spans

TOKENIZER = golden_tokenizer()
WHOLE = encode({"messages": MESSAGES, "tools": TOOLS}, TOKENIZER)
LENGTH = len(WHOLE["input_ids"])


def dataset(*conversations):
    return Dataset.from_list([{"messages": each, "tools": TOOLS} for each in conversations], on_mixed_types="use_json")


def learned(row):
    return [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED]


@given(st.lists(st.integers(0, 1), max_size=30))
def test_spans_are_the_runs_of_ones(mask):
    rebuilt = [0] * len(mask)
    spans = turn_spans(mask)
    for begin, end in spans:
        rebuilt[begin:end] = [1] * (end - begin)
    assert rebuilt == mask
    assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))


@settings(deadline=None)
@given(st.lists(st.booleans() | st.none(), min_size=3, max_size=3))
def test_turns_that_say_so_are_not_learned(train):
    messages = copy.deepcopy(MESSAGES)
    turns = [message for message in messages if message["role"] == "assistant"]
    for message, flag in zip(turns, train, strict=True):
        if flag is not None:
            message["train"] = flag
    row = {"messages": messages, "tools": TOOLS}
    if train == [False] * 3:
        with pytest.raises(InputError) as error:
            encode(row, TOKENIZER)
        assert (error.value.field, error.value.value) == ("supervised tokens", 0)
        return
    encoded = encode(row, TOKENIZER)
    assert encoded["input_ids"] == WHOLE["input_ids"]
    spans = turn_spans([int(label != IGNORED) for label in WHOLE["labels"]])
    kept = [token for (begin, end), flag in zip(spans, train, strict=True) if flag is not False
            for token in WHOLE["input_ids"][begin:end]]  # fmt: skip
    assert learned(encoded) == kept


def test_a_train_field_that_is_no_boolean_is_named():
    with pytest.raises(InputError) as error:
        encode({"messages": [*MESSAGES[:2], MESSAGES[6] | {"train": 0.5}], "tools": TOOLS}, TOKENIZER, "row 7")
    assert (error.value.source, error.value.field, error.value.value) == ("row 7", "train", 0.5)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, LENGTH + 5))
def test_a_cut_sample_ends_with_a_whole_turn(longest):
    rows = dataset(MESSAGES, [*MESSAGES[:2], MESSAGES[6]])
    ends = WHOLE["ends"]
    short = len(encode({"messages": [*MESSAGES[:2], MESSAGES[6]], "tools": TOOLS}, TOKENIZER)["input_ids"])
    fits = [end for end in ends if end <= longest]
    if longest < short - 1:
        with pytest.raises(InputError) as error:
            supervise(rows, TOKENIZER, longest, "cut")
        assert (error.value.field, error.value.value) == ("max_length", longest)
        return
    made, counts = supervise(rows, TOKENIZER, longest, "cut")
    expected = WHOLE["input_ids"] if longest >= LENGTH else WHOLE["input_ids"][: max(fits, default=0)]
    assert made[0]["input_ids"] == (expected or made[0]["input_ids"])
    if fits:
        assert made[0]["labels"] == WHOLE["labels"][: len(expected)]
        assert longest >= LENGTH or made[0]["input_ids"][-1] == TOKENIZER.eos_token_id
    assert all(len(ids) <= longest for ids in made["input_ids"])
    assert counts.samples + counts.dropped == 2
    assert counts.tokens == sum(map(len, made["input_ids"]))


def test_dropped_and_cut_samples_are_counted():
    longest = WHOLE["ends"][1] + 3
    rows = dataset(MESSAGES, MESSAGES[:3])
    assert supervise(rows, TOKENIZER, longest)[1].facts == {
        "samples": 1, "cut": 0, "dropped": 1, "tokens": WHOLE["ends"][0] + 1, "longest": WHOLE["ends"][0] + 1,
        "longest_given": LENGTH,
        "supervised": sum(label != IGNORED for label in WHOLE["labels"][: WHOLE["ends"][0]]),
    }  # fmt: skip
    cut = supervise(rows, TOKENIZER, longest, "cut")[1]
    assert (cut.samples, cut.cut, cut.dropped, cut.longest) == (2, 1, 0, WHOLE["ends"][1])


def test_a_cut_that_leaves_only_turns_not_learned_drops_the_sample():
    messages = copy.deepcopy(MESSAGES)
    messages[2]["train"] = False
    rows = dataset(messages, [*MESSAGES[:2], MESSAGES[6]])
    counts = supervise(rows, TOKENIZER, WHOLE["ends"][1] - 1, "cut")[1]
    assert (counts.samples, counts.cut, counts.dropped) == (1, 0, 1)


def test_a_sample_without_supervised_tokens_is_an_error():
    with pytest.raises(InputError) as error:
        supervise(dataset(MESSAGES, MESSAGES[:2]), TOKENIZER)
    assert (error.value.source, error.value.field) == ("row 1", "supervised tokens")


def test_a_template_that_marks_no_turn_is_an_error():
    tokenizer = golden_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace("generation %}", "if true %}", 1).replace(
        "endgeneration %}", "endif %}", 1
    )
    with pytest.raises(InputError) as error:
        encode({"messages": MESSAGES, "tools": TOOLS}, tokenizer)
    assert (error.value.field, error.value.value) == ("supervised turns", 0)


def test_a_share_of_rows_is_supervised_whole():
    rows, _ = supervise(dataset(*[MESSAGES] * 10), TOKENIZER, whole_text_share=0.3)
    assert sum(row["labels"] == row["input_ids"] for row in rows) == 3


def test_no_rows_are_no_rows():
    assert supervise(Dataset.from_list([]), TOKENIZER)[1] == Counts()


def test_the_split_is_by_video(traces):
    folder = TracesFolder(traces, 0.3)
    train = {question.video_id for question in folder.questions(held=False)}
    held = {question.video_id for question in folder.questions(held=True)}
    assert train
    assert held
    assert not train & held
    assert len(folder.sft_dataset(held=False)) + len(folder.sft_dataset(held=True)) == 60


def test_a_folder_without_episodes_says_what_to_run(tmp_path):
    with pytest.raises(InputError) as error:
        TracesFolder(tmp_path)
    assert (error.value.field, error.value.value) == ("data", "questions.jsonl")


def test_a_checkpoint_of_another_template_is_refused(base, tmp_path):
    load_tokenizer(str(base)).save_pretrained(tmp_path)
    write_json(tmp_path / "clipscout.json", {"chat_template": "0123456789ab"})
    with pytest.raises(InputError) as error:
        load_tokenizer(str(tmp_path))
    assert (error.value.field, error.value.value) == ("chat template", "0123456789ab")


def test_a_template_file_changed_since_training_is_refused(base, tmp_path):
    tokenizer = load_tokenizer(str(base))
    tokenizer.save_pretrained(tmp_path)
    write_json(tmp_path / "clipscout.json", {"chat_template": template_hash(tokenizer.chat_template)})
    assert load_tokenizer(str(tmp_path)).chat_template == tokenizer.chat_template
    path = tmp_path / "chat_template.jinja"
    path.write_text(path.read_text() + "\n ")
    with pytest.raises(InputError) as error:
        load_tokenizer(str(tmp_path))
    assert (error.value.field, error.value.value) == ("chat template", template_hash(path.read_text()))
