"""Models and tokenizers are those of the revision that was asked for."""

from transformers import AutoTokenizer

from trainer import checkpoint
from trainer.checkpoint import load_tokenizer


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
