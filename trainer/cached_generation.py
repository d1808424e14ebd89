"""Multi-turn sampling that keeps the key-value cache between turns and prefills a shared prompt once.

`transformers.generate` starts every turn from nothing: each row's whole history is prefilled again, and a group's
prompt once per row. Here each row owns a slice of one preallocated buffer. A later turn that begins with what a row
has seen prefills its new tokens alone. Tested with transformers 5.17: relies on `Cache.update` and on models passing
a 4-D mask through unchanged.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

GROUPED = "clipscout_grouped"
"""Name under which transformers finds `grouped_attention`."""

GROWTH = 64
"""Tokens by which a row's room grows: a budget of thousands is not set aside before it is used."""

SHRINK_BELOW = 0.6
"""Share of rows still going below which the finished ones are left out of the batch."""

Sampler = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""`(logits [n, vocabulary], row numbers [n], how many tokens the turn has so far) -> token ids [n]`."""


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Attention for one token a row whose query heads share keys, without copying the keys for each of them.

    transformers 5.17 repeats keys and values for every query head wherever a mask is given (`use_gqa_in_sdpa`). Of
    decoding 64 rows of 800 tokens on a CPU that was a third, and reading the copies much of the rest:
    `benchmarks/grpo.py`. More than one token a row goes transformers' way.

    Args:
        query: [rows, heads, tokens, size].
        key: [rows, key-value heads, seen, size].
        value: Like `key`.
        attention_mask: [rows, 1, tokens, seen], true where a token is seen.

    Returns:
        [rows, tokens, heads, size], and no weights.
    """
    rows, heads, count, size = query.shape
    if count != 1 or dropout or attention_mask is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    # Heads that share keys are one head with several queries: they take the place of the one token's axis.
    shared = query.view(rows, key.shape[1], heads // key.shape[1], size)  # [rows, key-value heads, sharers, size]
    mask = attention_mask.expand(-1, -1, shared.shape[2], -1)  # [rows, 1, sharers, seen]
    output = scaled_dot_product_attention(shared, key, value, attn_mask=mask, scale=scaling)
    # Consecutive heads share keys, so that the two head axes side by side are the heads in their order.
    return output.reshape(rows, 1, heads, size), None


ALL_ATTENTION_FUNCTIONS.register(GROUPED, grouped_attention)


class RaggedCache(Cache):
    """Keys and values of `n` rows with lengths of their own, one `[n, heads, capacity, head size]` pair a layer.

    `write_at` ([n, q]) says where the tokens of the coming forward pass go; attention sees the first `visible` places.
    """

    def __init__(self, layers: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        super().__init__(layers=[])
        self.buffers = layers
        self.write_at = torch.empty(0, 0, dtype=torch.long)
        self.visible = 0

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        keys, values = self.buffers[layer_idx]
        rows = torch.arange(keys.shape[0], device=keys.device).unsqueeze(1)  # [n, 1], against `write_at`'s [n, q]
        # Indices on both sides of a slice put their axes first: what is written to is [n, q, heads, size].
        keys[rows, :, self.write_at] = key_states.transpose(1, 2)
        values[rows, :, self.write_at] = value_states.transpose(1, 2)
        return keys[:, :, : self.visible], values[:, :, : self.visible]  # [n, heads, visible, size] each

    @property
    def capacity(self) -> int:
        """Tokens a row has room for."""
        return self.buffers[0][0].shape[2]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.visible

    def select(self, rows: torch.Tensor, capacity: int) -> "RaggedCache":
        """A copy of some rows with room for `capacity` tokens each."""
        layers = []
        for keys, values in self.buffers:
            size = (len(rows), keys.shape[1], capacity, keys.shape[3])  # [rows, heads, capacity, head size]
            pair = (keys.new_zeros(size), values.new_zeros(size))
            kept = min(capacity, keys.shape[2])
            for new, old in zip(pair, (keys, values), strict=True):
                new[:, :, :kept] = old[rows, :, :kept]  # [rows, heads, kept, head size]
            layers.append(pair)
        return RaggedCache(layers)

    @classmethod
    def join(cls, caches: Sequence["RaggedCache"]) -> "RaggedCache":
        """The rows of several caches of one capacity, one after the other."""
        if len(caches) == 1:
            return caches[0]
        columns = zip(*(cache.buffers for cache in caches), strict=True)  # a layer's pairs, one a cache
        return cls([(torch.cat([k for k, _ in pairs]), torch.cat([v for _, v in pairs])) for pairs in columns])


@contextmanager
def masked_attention(model: PreTrainedModel) -> Iterator[None]:
    """Attention that reads a 4-D mask, for the time: FlashAttention takes such a mask for one of padding."""
    trained = model.config._attn_implementation
    if trained == "eager":
        yield
        return
    model.set_attn_implementation(GROUPED)
    try:
        yield
    finally:
        model.set_attn_implementation(trained)


class CachedGenerator:
    """Samples turns for many conversations at once.

    Args:
        model: A decoder with `config.num_hidden_layers` attention layers; called as it is, in its current mode.
        eos_token_ids: Tokens that end a turn; the ending token is part of the turn.
    """

    def __init__(self, model: PreTrainedModel, eos_token_ids: Sequence[int]) -> None:
        self.model = model
        self.eos = torch.tensor(sorted(set(eos_token_ids)), device=model.device)
        self._rows: list[list[int]] = []
        # All tokens of each row; all but its last have their keys in the cache.
        self._cache: RaggedCache | None = None

    def forget(self) -> None:
        """Drops every kept row. Call it whenever the weights change."""
        self._rows, self._cache = [], None

    @torch.no_grad()
    def generate(self, sequences: Sequence[Sequence[int]], most_new: Sequence[int], sample: Sampler) -> list[list[int]]:
        """One turn for each sequence.

        Args:
            sequences: Token ids so far. A sequence that begins with a kept row's tokens continues that row.
            most_new: Most tokens to sample for each; at least 1.
            sample: Picks the next tokens.

        Returns:
            The new tokens of each, the ending token included; one that was cut has none.
        """
        with masked_attention(self.model):
            return self._generate(sequences, most_new, sample)

    def _generate(
        self, sequences: Sequence[Sequence[int]], most_new: Sequence[int], sample: Sampler
    ) -> list[list[int]]:
        capacity = max(len(ids) + min(new, GROWTH) for ids, new in zip(sequences, most_new, strict=True))
        matches = self.rows_of(sequences)
        kept = [index for index, row in enumerate(matches) if row is not None]
        fresh = [index for index, row in enumerate(matches) if row is None]
        pieces = []
        if kept:
            rows = [row for row in matches if row is not None]
            pieces.append(self._extend([sequences[index] for index in kept], rows, capacity))
        if fresh:
            pieces.append(self._prefill([sequences[index] for index in fresh], capacity))
        cache = RaggedCache.join([cache for cache, _ in pieces])
        logits = torch.cat([logits for _, logits in pieces])  # [n, vocabulary], kept rows before fresh ones
        order = [*kept, *fresh]
        if order != sorted(order):
            # Where each sequence's row is: the inverse of the order that the pieces are in, [n].
            back = torch.tensor(order, device=self.model.device).argsort()
            cache, logits = cache.select(back, capacity), logits[back]
        self._cache, turns = self._decode(cache, [len(ids) for ids in sequences], logits, most_new, sample)
        self._rows = [[*ids, *turn] for ids, turn in zip(sequences, turns, strict=True)]
        return turns

    def rows_of(self, sequences: Sequence[Sequence[int]]) -> list[int | None]:
        """For each sequence the kept row whose tokens it begins with, or None. A row may serve several sequences."""
        matches: list[int | None] = []
        row = 0
        for ids in sequences:
            found = None
            # Rows mostly come back in their order: the next one is tried first.
            for candidate in (*range(row, len(self._rows)), *range(row)):
                kept = self._rows[candidate]
                if len(kept) <= len(ids) and kept[-1] == ids[len(kept) - 1] and list(ids[: len(kept)]) == kept:
                    found, row = candidate, candidate + 1
                    break
            matches.append(found)
        return matches

    def _extend(
        self, sequences: Sequence[Sequence[int]], rows: Sequence[int], capacity: int
    ) -> tuple[RaggedCache, torch.Tensor]:
        """Takes kept rows and feeds each what its sequence adds."""
        assert self._cache is not None
        cache = self._cache.select(torch.tensor(rows, device=self.model.device), capacity)
        known = [len(self._rows[row]) - 1 for row in rows]
        return cache, self._forward(cache, [ids[have:] for ids, have in zip(sequences, known, strict=True)], known)

    def _prefill(self, sequences: Sequence[Sequence[int]], capacity: int) -> tuple[RaggedCache, torch.Tensor]:
        """Prefills every distinct sequence once and copies it to the rows that share it."""
        distinct = list(dict.fromkeys(tuple(ids) for ids in sequences))
        number = {ids: index for index, ids in enumerate(distinct)}
        rows = torch.tensor([number[tuple(ids)] for ids in sequences], device=self.model.device)  # [n], into `distinct`
        config = self.model.config
        heads = config.num_key_value_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        longest = max(map(len, distinct))
        shape = (len(distinct), heads, longest, size)  # of one layer's keys or values
        zeros = torch.zeros(shape, dtype=self.model.dtype, device=self.model.device)
        cache = RaggedCache([(zeros.clone(), zeros.clone()) for _ in range(config.num_hidden_layers)])
        logits = self._forward(cache, distinct, [0] * len(distinct))  # [distinct, vocabulary]
        return cache.select(rows, capacity), logits[rows]

    def _forward(self, cache: RaggedCache, new: Sequence[Sequence[int]], known: Sequence[int]) -> torch.Tensor:
        """Feeds each row its new tokens after its `known` ones; logits of each row's last token, [n, vocabulary]."""
        device = self.model.device
        counts = torch.tensor([len(ids) for ids in new], device=device)  # [n]
        starts = torch.tensor(known, device=device)  # [n]
        width = int(counts.max())
        # A short row's surplus tokens land after its end, where the next tokens overwrite them before anyone looks.
        padded = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in new], device=device)  # [n, width]
        places = starts.unsqueeze(1) + torch.arange(width, device=device)  # [n, width]
        last = int((starts + counts).max())
        # Surplus tokens may pass the end of the room: they share its last place, which no row has reached.
        hidden = self._step(cache, padded, places.clamp(max=cache.capacity - 1), places, last)
        final = hidden[torch.arange(len(new), device=device), counts - 1]  # [n, hidden size]
        return self.model.get_output_embeddings()(final)

    def _step(
        self, cache: RaggedCache, ids: torch.Tensor, write_at: torch.Tensor, places: torch.Tensor, visible: int
    ) -> torch.Tensor:
        """One forward pass of the decoder; hidden states, [n, q, hidden size].

        Args:
            ids: New tokens, [n, q].
            write_at: Places of their keys in the cache, [n, q].
            places: Their positions in their rows, [n, q].
            visible: Places of the cache that attention looks at.
        """
        cache.write_at, cache.visible = write_at, visible
        # A token sees its own place and those before it: [n, q, visible], and one axis more for the heads.
        mask = (torch.arange(visible, device=ids.device) <= places.unsqueeze(-1)).unsqueeze(1)
        return self.model.get_decoder()(
            input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True
        ).last_hidden_state

    def _decode(
        self, cache: RaggedCache, lengths: list[int], logits: torch.Tensor, most_new: Sequence[int], sample: Sampler
    ) -> tuple[RaggedCache, list[list[int]]]:
        """Samples on from `logits`, [n, vocabulary], until every turn has ended; the cache may be a grown copy."""
        device = self.model.device
        turns: list[list[int]] = [[] for _ in lengths]
        room = torch.tensor(list(most_new), device=device)  # [n]
        places = torch.tensor(lengths, device=device)  # where each conversation's next token goes, [n]
        # The batch at work, w of the n conversations: `rows` says which, `going` which of them have not ended.
        rows = torch.arange(len(lengths), device=device)  # [w]
        going = torch.ones(len(lengths), dtype=torch.bool, device=device)  # [w]
        work = cache
        for count in range(1, int(room.max()) + 1):
            tokens = sample(logits, rows, count - 1)  # [w]
            for row, token, alive in zip(rows.tolist(), tokens.tolist(), going.tolist(), strict=True):
                if alive:
                    turns[row].append(token)
            going = going & ~torch.isin(tokens, self.eos) & (room[rows] > count)
            if not going.any():
                break
            if going.float().mean() < SHRINK_BELOW:
                if work is not cache:
                    self._write_back(cache, work, rows)
                rows, tokens = rows[going], tokens[going]
                going = going[going]
                work = cache.select(rows, cache.capacity)
            if int(places[rows].max()) >= work.capacity:
                everyone = torch.arange(len(lengths), device=device)
                if work is not cache:
                    self._write_back(cache, work, rows)
                cache = cache.select(everyone, cache.capacity + GROWTH)
                work = cache if len(rows) == len(lengths) else cache.select(rows, cache.capacity)
            # A finished row is fed on in place: what it writes lies after its last kept key.
            position = places[rows].unsqueeze(1)  # [w, 1]
            hidden = self._step(work, tokens.unsqueeze(1), position, position, int(position.max()) + 1)
            logits = self.model.get_output_embeddings()(hidden[:, -1])  # [w, vocabulary]
            places[rows[going]] += 1
        if work is not cache:
            self._write_back(cache, work, rows)
        return cache, turns

    @staticmethod
    def _write_back(cache: RaggedCache, work: RaggedCache, rows: torch.Tensor) -> None:
        """Puts the batch at work, [w, heads, capacity, size] a layer, back into its rows [w] of all conversations."""
        for (keys, values), (new_keys, new_values) in zip(cache.buffers, work.buffers, strict=True):
            keys[rows], values[rows] = new_keys, new_values
