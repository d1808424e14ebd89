"""Kept caches give trl's own rollouts: the same tokens where greedy, the same log-probabilities elsewhere."""

import pytest
import torch
from peft import LoraConfig

from trainer import cached_rollout
from trainer.cached_generation import CachedGenerator


def rows_of(trainer, questions, copies):
    return [trainer.train_dataset[number] for number in range(questions) for _ in range(copies)]


def test_greedy_rollouts_equal_trl_s_token_for_token(make_trainer, prompts_of, plain):
    trainer = make_trainer()
    trainer.generation_config.do_sample = False
    rows = rows_of(trainer, questions=6, copies=2)
    mine = trainer._generate(prompts_of(trainer, rows))
    calls = [environment.visits for environment in trainer.environments]
    theirs = plain(trainer, prompts_of(trainer, rows))
    assert mine[0] == theirs[0], "prompt ids"
    assert mine[1] == theirs[1], "completion ids"
    assert mine[2] == theirs[2], "tool masks"
    assert mine[3] == theirs[3], "messages"
    assert calls == [environment.visits for environment in trainer.environments]
    turns = [sum(message["role"] == "assistant" for message in messages) for messages in mine[3]]
    assert max(turns) > 2, "the policy of this test has to navigate"


def test_an_adapter_s_rollouts_equal_trl_s(make_trainer, prompts_of, plain):
    adapter = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    trainer = make_trainer(trainer={"peft_config": adapter})
    trainer.generation_config.do_sample = False
    rows = rows_of(trainer, questions=3, copies=2)
    assert trainer._generate(prompts_of(trainer, rows))[1] == plain(trainer, prompts_of(trainer, rows))[1]


def test_sampling_used_the_probabilities_that_the_loss_sees(make_trainer, prompts_of, monkeypatch):
    trainer = make_trainer()
    seen: dict[tuple[int, ...], float] = {}
    generate = CachedGenerator.generate

    def recording(self, sequences, most_new, sample):
        logprobs = [[] for _ in sequences]

        def remember(logits, rows, count):
            tokens = sample(logits, rows, count)
            chosen = torch.log_softmax(logits, -1).gather(1, tokens.unsqueeze(1)).squeeze(1)
            for row, value in zip(rows.tolist(), chosen.tolist(), strict=True):
                logprobs[row].append(value)
            return tokens

        turns = generate(self, sequences, most_new, remember)
        for ids, turn, values in zip(sequences, turns, logprobs, strict=True):
            for place in range(len(turn)):
                seen[(*ids, *turn[: place + 1])] = values[place]
        return turns

    monkeypatch.setattr(CachedGenerator, "generate", recording)
    prompt_ids, completion_ids, masks, *_ = trainer._generate(prompts_of(trainer, rows_of(trainer, 3, 3)))
    checked = 0
    for prompt, completion, mask in zip(prompt_ids, completion_ids, masks, strict=True):
        ids = torch.tensor([prompt + completion])
        with torch.no_grad():
            logprobs = torch.log_softmax(trainer.model(input_ids=ids).logits[0], -1)
        for place in range(len(completion)):
            if mask[place]:
                end = len(prompt) + place
                assert abs(seen[tuple(ids[0, : end + 1].tolist())] - logprobs[end - 1, ids[0, end]].item()) < 1e-5
                checked += 1
    assert checked > 100


def test_another_trl_goes_its_own_way_with_a_warning(make_trainer, prompts_of, monkeypatch):
    trainer = make_trainer()
    trainer.generation_config.do_sample = False
    rows = rows_of(trainer, questions=2, copies=1)
    mine = trainer._generate(prompts_of(trainer, rows))
    monkeypatch.setattr(cached_rollout, "TESTED_TRL", "0.0")
    with pytest.warns(UserWarning, match="is not 0.0, the version this was tested with"):
        theirs = trainer._generate(prompts_of(trainer, rows))
    assert mine[1] == theirs[1]


def test_filtered_sampling_goes_trl_s_way_with_a_warning(make_trainer, prompts_of):
    trainer = make_trainer(top_k=3)
    with pytest.warns(UserWarning, match="without a kept cache: top_k"):
        trainer._generate(prompts_of(trainer, rows_of(trainer, 1, 2)))
    assert trainer._generator is None


def test_nothing_of_the_cache_outlives_a_rollout(make_trainer, prompts_of):
    trainer = make_trainer()
    trainer._generate(prompts_of(trainer, rows_of(trainer, 1, 2)))
    assert trainer._generator is None


def test_what_a_turn_freed_is_given_back(make_trainer, prompts_of, monkeypatch):
    trainer = make_trainer()
    turns, given = [], []
    real = trainer._generate_single_turn
    monkeypatch.setattr(trainer, "_generate_single_turn", lambda *a, **b: turns.append(0) or real(*a, **b))
    monkeypatch.setattr(cached_rollout, "return_freed_memory", given.append)
    trainer._generate(prompts_of(trainer, rows_of(trainer, 1, 2)))
    assert len(turns) > 1
    assert given == [torch.device("cpu")] * (len(turns) + 1)  # and once when the rollout has ended
