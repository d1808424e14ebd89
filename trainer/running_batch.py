"""Turns of many conversations sampled at once, where a row joins when it asks and leaves when its turn ends.

A batch of turns waits for its longest one, and a model that loops makes that the limit of a turn. Here a finished row
hands its turn over and the others go on. Each row owns its keys and values: nothing is padded or copied when another
comes or goes, and attention reads what a row has and no more. Rows that ended stay until their room is needed: a later
turn of the same conversation feeds its new tokens alone, and another question on the same video the tokens after those
that it shares. Tested with transformers 5.17: relies on `Cache.update` and on models passing what it returns to the
attention function.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

BY_ROW = "clipscout_rows"
"""Name under which transformers finds `rows_attention`."""
GROWTH = 64
"""Tokens by which a row's room grows."""
PIECE = 256
"""Tokens of a prompt that are fed at a time: a longer piece needs more memory at once and is no faster."""
MOST_BYTES = 4 * 2**30
"""Keys and values that are kept, unless another bound is given."""


@dataclass(eq=False, slots=True)
class Row:
    """One conversation's tokens, and the keys and values of the first `known` of them."""

    ids: list[int]
    layers: list[tuple[torch.Tensor, torch.Tensor]]
    """Keys and values, [key-value heads, room, size] each."""
    known: int = 0
    begun: int = 0
    """Where the turn begins in `ids`."""
    most_new: int = 0
    used: int = 0
    """When it was last asked; what was asked longest ago makes room first."""
    running: bool = False
    logits: torch.Tensor | None = field(default=None, repr=False)
    """Of the next token, [vocabulary]."""

    @property
    def room(self) -> int:
        return self.layers[0][0].shape[1]

    @property
    def turn(self) -> list[int]:
        """The tokens of the turn so far."""
        return self.ids[self.begun :]


@dataclass(slots=True)
class PrefixCounts:
    """Tokens that were asked with, and how many of them had their keys from before."""

    prompts: int = 0
    """Of first turns."""
    prompts_kept: int = 0
    all: int = 0
    all_kept: int = 0


Sampler = Callable[[torch.Tensor, Sequence[Row]], Sequence[int]]
"""`(logits [n, vocabulary], their rows) -> token ids [n]`."""


class _RowCache(Cache):
    """Puts new keys and values into the rows at hand, and shows attention each row's own."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.rows: Sequence[Row] = ()

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        # From [rows, heads, new, size]; what is returned goes to `rows_attention` as it is: [heads, seen, size] a row.
        shown: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        for row, new_keys, new_values in zip(self.rows, key_states, value_states, strict=True):
            seen = row.known + new_keys.shape[1]
            for kept, new, views in zip(row.layers[layer_idx], (new_keys, new_values), shown, strict=True):
                kept[:, row.known : seen] = new
                views.append(kept[:, :seen])
        return shown

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return max(row.known for row in self.rows)


def rows_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: Sequence[torch.Tensor],
    value: Sequence[torch.Tensor],
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Attention of each row to its own keys; the new tokens are the last of those seen.

    Args:
        query: [rows, heads, new, size].
        key: [key-value heads, seen, size] for each row.
        value: Like `key`.

    Returns:
        [rows, new, heads, size], and no weights.
    """
    _, heads, count, size = query.shape
    made = []
    for asked, keys, values in zip(query, key, value, strict=True):
        sharers = heads // keys.shape[0]
        if count == 1:
            # Heads that share keys are one head with several queries: [key-value heads, sharers, size].
            shared = asked.view(keys.shape[0], sharers, size)
            output = scaled_dot_product_attention(shared[None], keys[None], values[None], scale=scaling)[0]
            made.append(output.reshape(1, heads, size))
            continue
        seen = keys.shape[1]
        keys, values = (kept.repeat_interleave(sharers, 0) for kept in (keys, values))
        mask = None
        if seen > count:
            places = torch.arange(seen, device=query.device)
            mask = places <= places[seen - count :, None]  # [new, seen]
        output = scaled_dot_product_attention(
            asked[None], keys[None], values[None], attn_mask=mask, is_causal=mask is None, scale=scaling
        )
        made.append(output[0].transpose(0, 1))  # [new, heads, size]
    return torch.stack(made), None


ALL_ATTENTION_FUNCTIONS.register(BY_ROW, rows_attention)


class RunningBatch:
    """Rows that sample their turns side by side.

    Args:
        model: A decoder with `config.num_hidden_layers` attention layers; called as it is, in its current mode.
        eos_token_ids: Tokens that end a turn; the ending token is part of the turn.
        most_bytes: Keys and values to keep. One row is let in however long it is.
        piece: Tokens of a prompt that are fed at a time.
    """

    def __init__(
        self, model: PreTrainedModel, eos_token_ids: Sequence[int], most_bytes: int = MOST_BYTES, piece: int = PIECE
    ) -> None:
        self.model, self.eos, self.piece, self.most_bytes = model, frozenset(eos_token_ids), piece, most_bytes
        config = model.config
        self.heads = config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.token_bytes = config.num_hidden_layers * 2 * self.heads * self.size * model.dtype.itemsize
        self.counts = PrefixCounts()
        self.rows: list[Row] = []
        self._clock = 0
        self._cache = _RowCache()

    @property
    def running(self) -> list[Row]:
        return [row for row in self.rows if row.running]

    @property
    def kept_bytes(self) -> int:
        return sum(row.room for row in self.rows) * self.token_bytes

    @torch.no_grad()
    def join(self, ids: Sequence[int], most_new: int, first: bool = True) -> Row | None:
        """Lets a conversation in, to sample its next turn.

        Args:
            ids: Its tokens so far.
            most_new: Most tokens of the turn.
            first: Whether it is its first turn, for the counts.

        Returns:
            Its row, or None while there is no room: then some row is running.
        """
        source, kept = self._best_source(ids)
        room = len(ids) + min(most_new, GROWTH)
        if source is not None and not source.running and kept == source.known:
            row = source
        else:
            if not self._make_room(room, but=source):
                return None
            row = Row([], self._empty(room))
            for new, old in zip(row.layers, source.layers if source is not None else (), strict=bool(source)):
                for to, what in zip(new, old, strict=True):
                    to[:, :kept] = what[:, :kept]
            row.known = kept
            self.rows.append(row)
        self.counts.all += len(ids)
        self.counts.all_kept += kept
        if first:
            self.counts.prompts += len(ids)
            self.counts.prompts_kept += kept
        self._clock += 1
        row.ids, row.begun, row.most_new, row.used = list(ids), len(ids), most_new, self._clock
        row.running = True
        self._grow(row, room)
        with _attention_by_row(self.model):
            while row.known < len(ids):
                piece = row.ids[row.known : row.known + self.piece]
                hidden = self._feed([row], [piece])
            row.logits = self.model.get_output_embeddings()(hidden[0, -1])
        return row

    @torch.no_grad()
    def step(self, sample: Sampler) -> list[Row]:
        """One more token for every running row; the rows whose turn has ended."""
        rows = self.running
        if not rows:
            return []
        tokens = sample(torch.stack([row.logits for row in rows if row.logits is not None]), rows)
        for row, token in zip(rows, tokens, strict=True):
            row.ids.append(int(token))
            row.running = row.ids[-1] not in self.eos and len(row.turn) < row.most_new
        going = [row for row in rows if row.running]
        if going:
            for row in going:
                self._grow(row, len(row.ids))
            with _attention_by_row(self.model):
                hidden = self._feed(going, [row.ids[-1:] for row in going])
                logits = self.model.get_output_embeddings()(hidden[:, -1])  # [rows, vocabulary]
            for row, of_row in zip(going, logits, strict=True):
                row.logits = of_row
        ended = [row for row in rows if not row.running]
        for row in ended:
            row.logits = None
        return ended

    def drop(self, row: Row) -> None:
        """Forgets a row, running or not."""
        row.running = False
        self.rows.remove(row)

    def forget(self) -> None:
        """Drops every row. Call it whenever the weights change."""
        for row in [*self.rows]:
            self.drop(row)

    def _best_source(self, ids: Sequence[int]) -> tuple[Row | None, int]:
        """The row with the most keys of these tokens' beginning, and how many; the last token is always fed."""
        best, most = None, 0
        for row in self.rows:
            # Only a row with the next token too has more; comparing every row in full takes longer than feeding it.
            if min(row.known, len(ids) - 1) <= most or row.ids[most] != ids[most]:
                continue
            kept = min(_shared(row.ids, ids), row.known, len(ids) - 1)
            if kept > most:
                best, most = row, kept
        return best, most

    def _feed(self, rows: Sequence[Row], tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Feeds each row as many tokens after its known ones; hidden states, [rows, tokens, hidden size]."""
        device = self.model.device
        count = len(tokens[0])
        places = torch.tensor([[*range(row.known, row.known + count)] for row in rows], device=device)
        self._cache.rows = rows
        hidden = self.model.get_decoder()(
            input_ids=torch.tensor(tokens, device=device),
            position_ids=places,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        for row in rows:
            row.known += count
        return hidden

    def _empty(self, room: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        def one() -> torch.Tensor:
            return torch.empty(self.heads, room, self.size, dtype=self.model.dtype, device=self.model.device)

        return [(one(), one()) for _ in range(self.model.config.num_hidden_layers)]

    def _grow(self, row: Row, room: int) -> None:
        if room <= row.room:
            return
        self._make_room(GROWTH, but=row)
        layers = self._empty(room + GROWTH)
        for new, old in zip(layers, row.layers, strict=True):
            for to, what in zip(new, old, strict=True):
                to[:, : row.known] = what[:, : row.known]
        row.layers = layers

    def _make_room(self, tokens: int, but: Row | None) -> bool:
        """Drops rows that are not running until so many tokens fit, the one asked longest ago first."""
        while self.kept_bytes + tokens * self.token_bytes > self.most_bytes:
            idle = [row for row in self.rows if not row.running and row is not but]
            if not idle:
                return not self.running
            self.drop(min(idle, key=lambda row: row.used))
        return True


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two conversations have in common at their beginning."""
    low, high = 0, min(len(one), len(other)) + 1  # the first `low` are equal, the first `high` are not
    while high - low > 1:
        middle = (low + high) // 2
        if list(one[low:middle]) == list(other[low:middle]):
            low = middle
        else:
            high = middle
    return low


@contextmanager
def _attention_by_row(model: PreTrainedModel) -> Iterator[None]:
    trained = model.config._attn_implementation
    model.set_attn_implementation(BY_ROW)
    try:
        yield
    finally:
        model.set_attn_implementation(trained)
