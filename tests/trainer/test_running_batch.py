"""A row says the same whoever runs beside it, and what it shares with others is fed once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.plain_decoding import EOS, from_nothing, random_model
from trainer.running_batch import RunningBatch

TOKENS = st.lists(st.integers(4, 39), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model():
    return random_model()


def greedy(logits, rows):
    return logits.argmax(-1).tolist()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_turn_equals_one_from_nothing(model, data):
    most_bytes = data.draw(st.sampled_from([0, 200 * 256, 10**9]))
    batch = RunningBatch(model, EOS, most_bytes, piece=data.draw(st.integers(1, 7)))
    playing, waiting = {}, []
    shared = data.draw(TOKENS)
    for _ in range(data.draw(st.integers(1, 5))):
        waiting.append([*data.draw(st.sampled_from([[], shared])), *data.draw(TOKENS)])
    turns = 0
    while waiting or playing:
        while waiting:
            most = data.draw(st.integers(1, 8))
            row = batch.join(waiting[0], most)
            if row is None:
                assert playing, "one row always finds room"
                break
            playing[row] = (waiting.pop(0), most)
        for row in batch.step(greedy):
            ids, most = playing.pop(row)
            assert row.turn == from_nothing(model, ids, most)
            turns += 1
            if turns < 8 and data.draw(st.booleans()):
                waiting.append([*row.ids, *data.draw(TOKENS)])


def test_what_is_shared_is_fed_once(model, monkeypatch):
    batch, fed = RunningBatch(model, EOS, piece=8), []
    feed = RunningBatch._feed

    def counting(self, rows, tokens):
        fed.append((len(rows), len(tokens[0])))
        return feed(self, rows, tokens)

    monkeypatch.setattr(RunningBatch, "_feed", counting)
    video = list(range(4, 24))
    first = batch.join([*video, 30, 31], 3)
    assert fed == [(1, 8), (1, 8), (1, 6)]
    batch.join([*video, 33], 1)
    assert fed[3:] == [(1, 1)], "another question feeds its own tokens alone"
    while not (ended := batch.step(greedy)) or first not in ended:
        pass
    del fed[:]
    batch.join([*first.ids, 9, 9], 1, first=False)
    assert fed == [(1, 3)], "a later turn feeds its last token and the reply"
    assert (batch.counts.prompts, batch.counts.prompts_kept) == (22 + 21, 20)


def test_a_row_that_loops_holds_nobody(model):
    batch = RunningBatch(model, ())
    loops, short = batch.join([5, 6], 50), batch.join([7, 8], 2)
    assert [batch.step(greedy) for _ in range(2)] == [[], [short]]
    joined = batch.join([9], 1)
    assert batch.step(greedy) == [joined]
    assert loops.running


def test_the_bound_is_kept_and_the_oldest_goes_first(model):
    batch = RunningBatch(model, EOS)
    batch.most_bytes = 3 * 10 * batch.token_bytes
    rows = [batch.join([number, *range(4, 12)], 1) for number in (30, 31, 32)]
    assert batch.join([33, *range(4, 12)], 1) is None, "all are running"
    assert batch.step(greedy) == rows
    again = batch.join([33, *range(4, 12)], 1)
    assert batch.rows == [*rows[1:], again]
    assert batch.kept_bytes <= batch.most_bytes
    batch.drop(again)
    batch.forget()
    assert batch.kept_bytes == 0


def test_the_model_is_left_as_it_was(model):
    before = model.config._attn_implementation
    batch = RunningBatch(model, EOS)

    def broken(logits, rows):
        raise RuntimeError

    batch.join([5, 6, 7], 4)
    with pytest.raises(RuntimeError):
        batch.step(broken)
    assert model.config._attn_implementation == before
