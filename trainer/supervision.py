"""What of a conversation is learned: every assistant turn to its end token, and nothing else.

The spans come from the chat template's own marks, so that they are right to the token whatever a message holds. A turn
whose message says `"train": false` is read and not learned: a trajectory is kept without its bad turns.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from navigation import InputError
from trainer.conversation import conversation

IGNORED = -100
TOO_LONG = ("drop", "cut")


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the samples. All but `longest_given` count those that are left."""

    samples: int = 0
    cut: int = 0
    dropped: int = 0
    tokens: int = 0
    supervised: int = 0
    longest: int = 0
    longest_given: int = 0

    @property
    def facts(self) -> dict[str, int]:
        return asdict(self)


def turn_spans(mask: Sequence[int]) -> list[tuple[int, int]]:
    """`(begin, end)` of each run of ones: one run an assistant turn, since its header stands between any two."""
    closed = [0, *mask, 0]
    edges = [place for place in range(len(mask) + 1) if closed[place] != closed[place + 1]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def encode(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase, source: str = "sample") -> dict[str, list[int]]:
    """Token ids of a conversation and its labels: the id where a token is learned, else -100.

    Args:
        row: `messages` and `tools`, as `trainer.conversation` takes them.
        source: Names the sample in an error.

    Raises:
        InputError: the row holds what the template does not write, the template marks another number of turns than the
            assistant has messages, or no token is left to learn.
    """
    read = conversation(row, source)
    rendered = tokenizer.apply_chat_template(
        read["messages"], tools=read["tools"], return_dict=True, return_assistant_tokens_mask=True
    )
    encoded = cast(dict[str, list[int]], rendered)  # all lists are [tokens]
    ids, spans = encoded["input_ids"], turn_spans(encoded["assistant_masks"])
    turns = [message for message in read["messages"] if message["role"] == "assistant"]
    if len(spans) != len(turns):
        hint = f"it has {len(turns)} assistant messages: use a chat template that marks each of them for training"
        raise InputError(source, "supervised turns", len(spans), hint)
    labels = [IGNORED] * len(ids)
    for turn, (begin, end) in zip(turns, spans, strict=True):
        if turn.get("train", True):
            labels[begin:end] = ids[begin:end]
    if all(label == IGNORED for label in labels):
        raise InputError(source, "supervised tokens", 0, "it needs an assistant message that is not `train: false`")
    return {"input_ids": ids, "labels": labels, "ends": [end for _, end in spans]}


def supervise(
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    longest: int | None = None,
    too_long: str = "drop",
    whole_text_share: float = 0.0,
    source: str = "",
) -> tuple[Dataset, Counts]:
    """Token ids and labels of every conversation, as trl's `SFTTrainer` takes them.

    Args:
        dataset: Rows of `messages` and `tools`.
        longest: Most tokens of a sample; None for no limit.
        too_long: `drop` leaves a longer sample out; `cut` ends it after the last assistant turn that fits, and drops it
            if that leaves nothing to learn. Nothing is ever cut inside a turn.
        whole_text_share: Share of rows whose every token is learned, 0 to 1, spread evenly.
        source: Where the rows come from, for an error, which names the row too.

    Returns:
        Rows of `input_ids` and `labels`, and what became of the samples.

    Raises:
        InputError: a sample without a token to learn, or none that fits.
    """
    if too_long not in TOO_LONG:
        raise InputError("config", "too_long", too_long, f"give one of {', '.join(TOO_LONG)}")

    def learn(row: dict[str, Any], number: int) -> dict[str, Any]:
        encoded = encode(row, tokenizer, f"{source}: row {number}" if source else f"row {number}")
        ids, labels, ends = encoded["input_ids"], encoded["labels"], encoded["ends"]
        if int((number + 1) * whole_text_share) > int(number * whole_text_share):
            labels = list(ids)
        fate, given = "kept", len(ids)
        if longest is not None and len(ids) > longest:
            end = max((end for end in ends if end <= longest), default=0) if too_long == "cut" else 0
            ids, labels = ids[:end], labels[:end]
            fate = "cut" if any(label != IGNORED for label in labels) else "dropped"
        return {"input_ids": ids, "labels": labels, "fate": fate, "given": given}

    if not len(dataset):
        return dataset, Counts()
    rows = dataset.map(learn, with_indices=True, remove_columns=dataset.column_names, desc="Tokenizing")
    fates = list(rows["fate"])
    given = max(rows["given"])
    rows = rows.remove_columns(["fate", "given"]).select(
        [place for place, fate in enumerate(fates) if fate != "dropped"]
    )
    counts = Counts(samples=len(rows), cut=fates.count("cut"), dropped=fates.count("dropped"))
    if not len(rows):
        hint = f"give up to {given} tokens: none of {len(fates)} samples fits"
        raise InputError("config", "max_length", longest, hint)
    lengths = [len(ids) for ids in rows["input_ids"]]
    learned = sum(sum(label != IGNORED for label in labels) for labels in rows["labels"])
    return rows, replace(counts, tokens=sum(lengths), supervised=learned, longest=max(lengths), longest_given=given)
