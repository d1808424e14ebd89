"""Groups, advantages and masks, computed by hand for small batches."""

import pytest
import torch

from navigation import NavigationEnvironment, Status
from rewards.answer import Verdict, no_verdict
from trainer.rollout_metrics import EpisodeMasks, accuracy_per_visit, equal_groups, kept_fraction

ANSWER_ONLY = {"answer": {"weight": 1.0}, "grounding": None, "visit_cost": None, "format": None}
CALL = '<tool_call>\n{"name": "get_caption", "arguments": {"segment": [1]}}\n</tool_call><|im_end|>'


def answer(letter):
    return f"<think>\n\n</think>\n\n<answer>{letter}</answer><|im_end|>"


def play(trainer, turns, rows=None):
    """Scores one batch whose episodes write `turns[episode]`, turn after turn; returns trl's output and the rows."""
    ids = [[trainer.processing_class(text, add_special_tokens=False)["input_ids"] for text in said] for said in turns]
    rows = rows or next(iter(trainer.get_train_dataloader()))
    prompts: dict[tuple[int, ...], int] = {}
    first: list[list[int]] = []

    def single_turn(prompt_ids, images, fields, num_generations, has_tool_images=False):
        if not first:
            first.extend(prompt_ids)
            prompts.update({(place, 0): place for place in range(len(prompt_ids))})
            return [list(said[0]) for said in ids], None
        out, taken = [], set()
        for history in prompt_ids:
            episode = next(
                place for place, prompt in enumerate(first)
                if place not in taken and history[: len(prompt) + len(ids[place][0])] == prompt + ids[place][0]
            )  # fmt: skip
            taken.add(episode)
            turn = (len(history) > len(first[episode]) + len(ids[episode][0])) + 0
            out.append(list(ids[episode][turn]))
        return out, None

    trainer._generate_single_turn = single_turn
    trainer.model.train()
    return trainer._generate_and_score_completions(rows), rows


def turns_for(rows, marks):
    """One answer an episode: right where the mark is `+`, wrong where it is `-`, none where it is `0`."""
    said = []
    for row, mark in zip(rows, marks, strict=True):
        wrong = next(letter for letter in "ABCD" if letter != row["answer"])
        said.append([{"+": answer(row["answer"]), "-": answer(wrong), "0": "no idea<|im_end|>"}[mark]])
    return said


def batch(trainer, marks):
    rows = next(iter(trainer.get_train_dataloader()))
    return play(trainer, turns_for(rows, marks), rows)


def test_rows_of_one_question_lie_together(make_trainer):
    for rows in make_trainer().get_train_dataloader():
        ids = [row["id"] for row in rows]
        assert ids == [ids[0]] * 4 + [ids[4]] * 4
        assert ids[0] != ids[4]


def test_advantages_are_rewards_less_their_group_s_mean(make_trainer):
    output, _ = batch(make_trainer(reward=ANSWER_ONLY), "+-----++")
    expected = [0.75, -0.25, -0.25, -0.25, -0.5, -0.5, 0.5, 0.5]
    assert output["advantages"].tolist() == pytest.approx(expected, abs=1e-6)


def test_scaled_advantages(make_trainer):
    output, _ = batch(make_trainer(reward=ANSWER_ONLY, scale_rewards="group"), "+-----++")
    # Standard deviations of (1, 0, 0, 0) and (0, 0, 1, 1) over n - 1: 1/2 and 1/sqrt(3).
    expected = [0.75 / 0.5001, *[-0.25 / 0.5001] * 3]
    expected += [half / (3**-0.5 + 1e-4) for half in (-0.5, -0.5, 0.5, 0.5)]
    assert output["advantages"].tolist() == pytest.approx(expected, abs=1e-5)


def test_advantages_of_normalised_parts(make_trainer):
    reward = ANSWER_ONLY | {"format": {"weight": 0.5}}
    output, _ = batch(make_trainer(reward=reward, multi_objective_aggregation="normalize_then_sum"), "+--0----")
    # Answers (1, 0, 0, 0) and formats (0, 0, 0, -1) have a spread of 1/2 over n - 1: (1.5, -0.5, -0.5, -0.5) and
    # (0.5, 0.5, 0.5, -1.5). Summed by weight: (1.75, -0.25, -0.25, -1.25), a spread of sqrt(4.75 / 7) in the batch.
    expected = [each / (4.75 / 7) ** 0.5 for each in (1.75, -0.25, -0.25, -1.25, 0, 0, 0, 0)]
    assert output["advantages"].tolist() == pytest.approx(expected, abs=1e-3)
    assert output["advantages"].tolist()[4:] == [0.0] * 4


@pytest.mark.parametrize(("aggregation", "taught"), [("sum_then_normalize", 0), ("normalize_then_sum", 4)])
def test_parts_that_cancel_in_the_sum_teach_where_they_are_normalised(make_trainer, aggregation, taught):
    reward = ANSWER_ONLY | {"visit_cost": {"weight": 0.5, "budget": 0.0}}
    trainer = make_trainer(reward=reward, multi_objective_aggregation=aggregation)
    rows = next(iter(trainer.get_train_dataloader()))
    said = turns_for(rows, "+-------")
    # A visit and its repetition cost a right answer all that it is worth.
    said[0] = [CALL.replace("<|im_end|>", "\n") + CALL, said[0][0]]
    output, _ = play(trainer, said, rows)
    assert (output["advantages"] != 0).sum().item() == taught
    assert trainer._metrics["train"]["rewards/visit_cost/mean"] == [2.0]
    assert trainer._metrics["train"]["equal_groups"] == [1.0 if taught == 0 else 0.5]


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
def test_groups_without_spread_give_no_gradient_at_all(make_trainer, scale):
    # Each adds to 1.0 by parts that are no binary fractions: rounded means leave them a little off.
    reward = {"answer": {"weight": 0.7}, "grounding": None, "visit_cost": None, "format": {"weight": 0.1}}
    trainer = make_trainer(reward=reward, scale_rewards=scale)
    output, _ = batch(trainer, "++++----")
    assert output["advantages"][:4].tolist() == [0.0] * 4
    assert output["advantages"].tolist() == [0.0] * 8
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, output).backward()
    gradients = [parameter.grad for parameter in trainer.model.parameters() if parameter.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)
    assert trainer._metrics["train"]["equal_groups"] == [1.0]


def test_a_masked_episode_has_no_loss_and_no_say_in_its_group(make_trainer):
    masks = EpisodeMasks.from_config({"unparsable": "masked"})
    trainer = make_trainer(reward=ANSWER_ONLY, trainer={"masks": masks})
    output, _ = batch(trainer, "+--0++-0")
    expected = [2 / 3, -1 / 3, -1 / 3, 0.0, 1 / 3, 1 / 3, -2 / 3, 0.0]
    assert output["advantages"].tolist() == pytest.approx(expected, abs=1e-6)
    trained = output["completion_mask"] * output["tool_mask"]
    assert (trained.sum(1) > 0).tolist() == [True, True, True, False, True, True, True, False]
    assert output["num_items_in_batch"].item() == trained.sum().item()
    metrics = trainer._metrics["train"]
    assert metrics["masked"] == [0.25]
    assert metrics["status/unparsable"] == [0.25]


def test_a_penalised_episode_is_trained_on(make_trainer):
    reward = ANSWER_ONLY | {"format": {"weight": 0.5}}
    output, _ = batch(make_trainer(reward=reward), "+--0----")
    # Rewards 1, 0, 0, -0.5.
    assert output["advantages"][:4].tolist() == pytest.approx([0.875, -0.125, -0.125, -0.625], abs=1e-6)
    assert (output["completion_mask"] * output["tool_mask"])[3].sum() > 0


def test_an_episode_whose_world_failed_is_masked_and_counted_apart(make_trainer, monkeypatch):
    def broken(self, segment):
        raise ConnectionError("the captions are gone")

    broken.__name__, broken.__doc__ = "get_caption", NavigationEnvironment.get_caption.__doc__
    trainer = make_trainer(reward=ANSWER_ONLY)
    monkeypatch.setattr(NavigationEnvironment, "get_caption", broken)
    rows = next(iter(trainer.get_train_dataloader()))
    said = turns_for(rows, "+---++--")
    said[1] = [CALL, said[1][0]]
    output, _ = play(trainer, said, rows)
    assert output["advantages"].tolist() == pytest.approx([2 / 3, 0, -1 / 3, -1 / 3, 0.5, 0.5, -0.5, -0.5], abs=1e-6)
    assert trainer._metrics["train"]["status/failed"] == [0.125]
    assert (output["completion_mask"] * output["tool_mask"])[1].sum() == 0


class Judge:
    """Calls crimson right, and cannot be asked about anything lost."""

    stopped = ""

    def verdicts(self, answers):
        labels = {"crimson": Verdict("right", 1.0, "judge"), "lost": no_verdict("gone")}
        return [labels.get(answer, Verdict("wrong", 0.0, "judge")) for _, answer in answers]


def test_an_answer_that_nobody_could_judge_is_masked(make_trainer):
    trainer = make_trainer(reward=ANSWER_ONLY)
    trainer.batch.judge = Judge()
    rows = [
        row | {"options": [], "answer": "", "references": ["red"]} for row in next(iter(trainer.get_train_dataloader()))
    ]
    said = ["crimson", "lost", "blue", "blue", "crimson", "crimson", "blue", "blue"]
    output, _ = play(trainer, [[answer(text)] for text in said], rows)
    expected = [2 / 3, 0, -1 / 3, -1 / 3, 0.5, 0.5, -0.5, -0.5]
    assert output["advantages"].tolist() == pytest.approx(expected, abs=1e-6)
    assert (output["completion_mask"] * output["tool_mask"])[1].sum() == 0
    metrics = trainer._metrics["train"]
    assert metrics["masked"] == metrics["judge/unjudged"] == [0.125]
    assert metrics["accuracy"] == [pytest.approx(3 / 7)]
    metrics["step_time"] = [2 * metrics["time/judge"][0]]
    trainer.log({})
    assert trainer.state.log_history[-1]["judge/share_of_step"] == pytest.approx(0.5)


def test_no_prompt_or_reply_token_has_a_loss(make_trainer):
    trainer = make_trainer()
    rows = next(iter(trainer.get_train_dataloader()))
    output, _ = play(trainer, [[CALL, answer("A")]] * 8, rows)
    tokenizer = trainer.processing_class
    for ids, mask in zip(output["completion_ids"], output["completion_mask"] * output["tool_mask"], strict=True):
        said = tokenizer.decode(ids[mask.bool()])
        assert said == CALL + answer("A")
        reply = tokenizer.decode(ids[~mask.bool()])
        assert "tool_response" in reply
        assert "tool_response" not in said
    logits = output["completion_ids"].shape[1]
    assert output["tool_mask"].shape == (8, logits), "the loss covers the completion; a prompt has no place in its mask"


def test_equal_groups_ignore_rounding_and_masked_episodes():
    nan = float("nan")
    rewards = torch.tensor([0.1 + 0.2, 0.3, 0.3, nan, 0.5, 0.5, 0.4, 0.5, nan, nan, nan, nan])
    groups = equal_groups(rewards, 4)
    assert groups[:2].tolist() == [1.0, 0.0]
    assert groups[2].isnan()


def test_kept_fraction_counts_trained_tokens_alone():
    ratio = torch.tensor([[1.0, 3.0, 0.5, 3.0], [0.0, 1.0, 2.9, 1.0]])
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]])
    assert kept_fraction(ratio, mask, None, 3.0) == pytest.approx(3 / 5)
    assert kept_fraction(ratio, mask, 0.9, 2.0) == pytest.approx(2 / 5)
    assert kept_fraction(ratio[:, :1], mask, None, None) == pytest.approx(2 / 5), "one ratio a sequence"
    assert kept_fraction(ratio, torch.zeros_like(mask), None, 3.0) == 1.0


def test_a_policy_that_stopped_looking_is_not_the_best():
    assert accuracy_per_visit(0.25, 0.0, 0.25) == 0.0
    assert accuracy_per_visit(0.9, 3.0, 0.25) > accuracy_per_visit(0.9, 5.0, 0.25) > accuracy_per_visit(0.3, 0.1, 0.25)


def test_every_status_but_answered_can_be_masked():
    every = [status for status in Status if status is not Status.ANSWERED]
    assert EpisodeMasks.from_config(dict.fromkeys(every, "masked")).masked == frozenset(every)
    assert EpisodeMasks.from_config(dict.fromkeys(every, "penalised")).masked == frozenset()
    assert EpisodeMasks.from_config(None).masked == {Status.FAILED, Status.FILTERED}
