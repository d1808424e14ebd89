"""Models and tokenizers are those of the revision that was asked for, and of a family that our template can write."""

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from navigation import InputError, SearchSettings, write_json
from trainer import checkpoint
from trainer.arguments import DataArguments
from trainer.checkpoint import check_trained_tools, load_tokenizer


def test_tokenizer_and_record_are_of_the_model_s_revision(base, monkeypatch):
    asked = []
    real, cached_file = AutoTokenizer.from_pretrained, checkpoint.cached_file

    def from_pretrained(name, revision):
        asked.append(revision)
        return real(name)

    def file_of(*arguments, revision, **options):
        asked.append(revision)
        return cached_file(*arguments, **options)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", from_pretrained)
    monkeypatch.setattr(checkpoint, "cached_file", file_of)
    load_tokenizer(str(base), revision="v2")
    assert asked == ["v2", "v2"]


def test_a_run_s_search_is_recorded_and_another_is_refused(tmp_path):
    tools = ("get_caption", "search")
    told = DataArguments(data="d", tools="get_caption,search", search={"count": 3, "embedder": "here/minilm"}).told
    write_json(tmp_path / checkpoint.NAME, {"stage": "sft", **told})
    record = checkpoint.read_record(tmp_path)
    trained = checkpoint.search_of(record)
    assert trained == SearchSettings(count=3, embedder="here/minilm")
    check_trained_tools(tmp_path, tools, SearchSettings(count=3, embedder="there/minilm"))
    for search, chosen, field in (
        (SearchSettings(count=3), tools, "search"),
        (SearchSettings(count=4, embedder="here/minilm"), tools, "search"),
        (trained, ("get_caption",), "tools"),
    ):
        with pytest.raises(InputError) as error:
            check_trained_tools(tmp_path, chosen, search)
        assert error.value.field == field
    assert DataArguments(data="d", search={"count": 3}).told == {}
    with pytest.raises(InputError) as error:
        _ = DataArguments(data="d", search={"cuont": 3}).told
    assert error.value.field == "search"


@pytest.mark.parametrize(
    ("tokens", "missing"),
    [
        (("<|im_start|>", "<|im_end|>", "<|endoftext|>"), ()),
        (("<|im_start|>", "<|im_end|>"), ("<|endoftext|>",)),
        (("<s>", "</s>", "[INST]"), ("<|im_start|>", "<|im_end|>", "<|endoftext|>")),
    ],
)
def test_another_family_is_told_which_tokens_it_lacks(tmp_path, tokens, missing):
    made = Tokenizer(models.BPE({letter: place for place, letter in enumerate("<|imstarend>of_x")}, []))
    made.add_special_tokens(list(tokens))
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token=tokens[0]).save_pretrained(tmp_path)
    if not missing:
        tokenizer = load_tokenizer(str(tmp_path))
        assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
        return
    with pytest.raises(InputError) as error:
        load_tokenizer(str(tmp_path))
    assert error.value.field == "tokenizer"
    assert [token for token in ("<|im_start|>", "<|im_end|>", "<|endoftext|>") if token in error.value.value] == [
        *missing
    ]
