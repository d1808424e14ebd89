"""Kept caches change nothing but the time: every turn equals one generated from nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tests.trainer.plain_decoding import EOS, from_nothing, random_model
from trainer.cached_generation import GROUPED, CachedGenerator, grouped_attention

TOKENS = st.lists(st.integers(4, 39), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model():
    return random_model()


def greedy(logits, rows, count):
    return logits.argmax(-1)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_every_turn_equals_one_from_nothing(model, data):
    generator = CachedGenerator(model, EOS)
    prompts = data.draw(st.lists(TOKENS, min_size=1, max_size=4))
    sequences = [ids for ids in prompts for _ in range(2)]
    for _ in range(3):
        most = [data.draw(st.integers(1, 10)) for _ in sequences]
        turns = generator.generate(sequences, most, greedy)
        assert turns == [from_nothing(model, ids, new) for ids, new in zip(sequences, most, strict=True)]
        going = [index for index in range(len(sequences)) if data.draw(st.booleans())]
        # Some go on with a reply of any length, some are new, in any order.
        sequences = [sequences[index] + turns[index] + data.draw(TOKENS) for index in going]
        sequences = data.draw(st.permutations(sequences + data.draw(st.lists(TOKENS, max_size=2))))
        if not sequences:
            break


def test_room_grows_as_it_is_needed(model, monkeypatch):
    monkeypatch.setattr("trainer.cached_generation.GROWTH", 2)
    never = CachedGenerator(model, [39])
    monkeypatch.setitem(globals(), "EOS", (39,))
    sequences = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]
    most = [11, 3, 17]
    assert never.generate(sequences, most, greedy) == [
        from_nothing(model, ids, new) for ids, new in zip(sequences, most, strict=True)
    ]


def test_a_shared_prompt_is_prefilled_once(model, monkeypatch):
    generator = CachedGenerator(model, EOS)
    fed: list[tuple[int, ...]] = []
    step = CachedGenerator._step

    def counting(self, cache, ids, *arguments):
        fed.append(tuple(ids.shape))
        return step(self, cache, ids, *arguments)

    monkeypatch.setattr(CachedGenerator, "_step", counting)
    prompt = list(range(4, 24))
    turns = generator.generate([prompt] * 8, [1] * 8, greedy)
    assert fed == [(1, 20)]
    generator.generate([prompt + turn + [9, 9, 9] for turn in turns], [1] * 8, greedy)
    assert fed[1:] == [(8, 4)], "a later turn feeds the last token and the reply, not the history"


def test_sampling_sees_the_model_s_probabilities(model):
    generator = CachedGenerator(model, EOS)
    seen = []

    def record(logits, rows, count):
        seen.append(torch.log_softmax(logits, -1))
        return logits.argmax(-1)

    prompt = [5, 6, 7, 8]
    (first,) = generator.generate([prompt], [4], record)
    (second,) = generator.generate([prompt + first + [9, 10]], [4], record)
    ids = prompt + first + [9, 10] + second
    plain = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0], -1)
    places = [*range(3, 3 + len(first)), *range(5 + len(first), 5 + len(first) + len(second))]
    assert torch.allclose(torch.cat(seen), plain[places], atol=1e-5)


def test_forgetting_after_the_weights_change(model):
    generator = CachedGenerator(model, EOS)
    prompt = [5, 6, 7, 8, 9]
    (turn,) = generator.generate([prompt], [3], greedy)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.add_(1.0)
    try:
        generator.forget()
        longer = prompt + turn + [4]
        assert generator.rows_of([longer]) == [None]
        assert generator.generate([longer], [3], greedy) == [from_nothing(model, longer, 3)]
    finally:
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight.sub_(1.0)


def test_a_model_trained_with_flash_attention_plays_with_one_that_reads_the_mask(model, monkeypatch):
    used = []

    class Watched(CachedGenerator):
        def _step(self, *args):
            used.append(self.model.config._attn_implementation)
            return super()._step(*args)

    # The library is not here: only its name is set, as loading with it would have.
    monkeypatch.setattr(model.config, "_attn_implementation_internal", "flash_attention_2")
    monkeypatch.setattr(
        model, "set_attn_implementation", lambda name: setattr(model.config, "_attn_implementation_internal", name)
    )
    turns = Watched(model, EOS).generate([[5, 6, 7]], [4], greedy)
    assert set(used) == {GROUPED}
    assert model.config._attn_implementation == "flash_attention_2"

    def broken(*args):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Watched(model, EOS).generate([[5, 6, 7]], [4], broken)
    assert model.config._attn_implementation == "flash_attention_2"
    monkeypatch.undo()
    assert turns == [from_nothing(model, [5, 6, 7], 4)]


@pytest.mark.parametrize("count", [1, 3])
def test_heads_that_share_keys_attend_as_if_each_had_a_copy(count):
    torch.manual_seed(0)
    module = torch.nn.Module()
    module.num_key_value_groups = 3
    query, key, value = torch.randn(4, 6, count, 8), torch.randn(4, 2, 11, 8), torch.randn(4, 2, 11, 8)
    mask = torch.rand(4, 1, count, 11) < 0.6
    mask[..., 0] = True
    found, _ = grouped_attention(module, query, key, value, mask, scaling=0.3)
    wanted, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    assert found.shape == wanted.shape == (4, count, 6, 8)
    assert torch.allclose(found, wanted, atol=1e-6)
