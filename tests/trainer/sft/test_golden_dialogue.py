"""What SFT learns of a Qwen3 dialogue, token by token, against a file checked by hand."""

import pytest
from datasets import Dataset
from dialogue import DIALOGUE, MESSAGES, TOOLS, golden_rows, golden_tokenizer
from trl import SFTConfig, SFTTrainer

from navigation import InputError
from navigation.prompt import chat_template
from trainer.supervision import IGNORED, encode


@pytest.fixture(scope="module")
def tokenizer():
    return golden_tokenizer()


def rows_of(tokenizer):
    encoded = encode(DIALOGUE, tokenizer)
    pairs = zip(encoded["input_ids"], encoded["labels"], strict=True)
    return [(token, int(label != IGNORED), tokenizer.decode([token])) for token, label in pairs]


def test_ids_and_labels_are_the_golden_ones(tokenizer):
    assert rows_of(tokenizer) == golden_rows()
    encoded = encode(DIALOGUE, tokenizer)
    assert all(label in (IGNORED, token) for token, label in zip(encoded["input_ids"], encoded["labels"], strict=True))


def test_the_tokens_spell_the_rendered_text(tokenizer):
    rendered = tokenizer.apply_chat_template(MESSAGES, tools=TOOLS, tokenize=False)
    assert tokenizer.decode(encode(DIALOGUE, tokenizer)["input_ids"]) == rendered
    assert "".join(text for _, _, text in golden_rows()) == rendered


def test_the_golden_file_learns_the_three_turns_and_nothing_else():
    turns, current = [], ""
    for _, learned, text in [*golden_rows(), (0, 0, "")]:
        if learned:
            current += text
        elif current:
            turns.append(current)
            current = ""
    call = '<tool_call>\n{"name": "%s", "arguments": {%s}}\n</tool_call><|im_end|>'
    assert turns == [
        "<think>\nThe park is in [2].\n</think>\n\n" + call % ("get_caption", '"segment": [2, 3]'),
        "<think>\nLook.\nA dog?\n</think>\n\n" + call % ("video_qa", '"segment": [2, 3, 1], "query": "is it a dog?"'),
        "<think>\nIt is.\n</think>\n\n<answer>B</answer><|im_end|>",
    ]


MUTATIONS = {
    "end token not learned": ("{{- '<|im_end|>' }}{% endgeneration %}", "{% endgeneration %}{{- '<|im_end|>' }}"),
    "newline after the end learned": ("{% endgeneration %}\n        {{- '\\n' }}", "{{- '\\n' }}{% endgeneration %}"),
    "header learned": ("{{- '<|im_start|>assistant\\n' }}{% generation %}",
                       "{% generation %}{{- '<|im_start|>assistant\\n' }}"),
    "earlier reasoning lost": ("(reasoning or '').strip('\\n')",
                               "((reasoning or '').strip('\\n') if loop.last else '')"),
    "reasoning's line lost": ("'<think>\\n' ~", "'<think>' ~"),
    "arguments without spaces": ("function.arguments | tojson", "function.arguments | tojson(separators=(',', ':'))"),
    "replies under another role": ("'<|im_start|>user' if loop.first", "'<|im_start|>tool' if loop.first"),
    "nothing marked": ("{% generation %}", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_changed_template_is_noticed(tokenizer, name):
    before, after = MUTATIONS[name]
    template = chat_template()
    assert template.count(before) == 1
    template = template.replace(before, after)
    if name == "nothing marked":
        template = template.replace("{% endgeneration %}", "")
    tokenizer.chat_template = template
    try:
        found = rows_of(tokenizer)
    except InputError as error:  # what `encode` itself refuses is noticed too
        found = str(error)
    finally:
        tokenizer.chat_template = chat_template()
    assert found != golden_rows()
    assert isinstance(found, list) or "supervised turns" in found


def test_the_trainer_s_batches_hold_the_same_ids_and_labels(tokenizer, tiny_model, tmp_path):
    rows = Dataset.from_list([{key: encode(DIALOGUE, tokenizer)[key] for key in ("input_ids", "labels")}])
    arguments = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, max_length=None, report_to="none")
    model = tiny_model(len(tokenizer))
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    (batch,) = trainer.get_train_dataloader()
    golden = golden_rows()
    assert batch["input_ids"].tolist() == [[token for token, _, _ in golden]]
    assert batch["labels"].tolist() == [[token if learned else IGNORED for token, learned, _ in golden]]
