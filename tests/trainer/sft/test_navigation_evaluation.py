"""Questions played while training: honest figures, the best checkpoint kept, an end when nothing gets better."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from accelerate import Accelerator
from short_runs import same, sft, weights

from data_gen.expert import Expert
from navigation import EnvironmentFactory, InputError, TreeStore, run
from trainer.checkpoint import load_tokenizer
from trainer.data import TracesFolder
from trainer.recorder import read_metrics
from trainer.sft_trainer import NavigationEvaluation

EVALUATED = {"eval_strategy": "steps", "eval_steps": 2, "navigation_questions": 3, "navigation_turns": 2,
             "navigation_tokens": 20, "per_device_eval_batch_size": 17}  # fmt: skip


@pytest.fixture(scope="module")
def held(traces):
    return TracesFolder(traces, 0.3).questions(held=True)


@pytest.fixture
def evaluation(held, traces, base):
    factory = EnvironmentFactory(TreeStore(traces / "trees"))
    return NavigationEvaluation(held[:6], factory, load_tokenizer(str(base)), turns=4, tokens=80)


def play(evaluation, model, monkeypatch, processes=1):
    """The figures as `processes` processes find them together, one after the other."""
    shares = []
    rows = []
    for index in range(processes):
        state = Accelerator(cpu=True)
        fake = SimpleNamespace(
            process_index=index, num_processes=processes, unwrap_model=state.unwrap_model, state=state.state
        )
        trainer = SimpleNamespace(accelerator=fake, model=model, model_wrapped=model)

        def gather(mine):
            shares.append(mine)
            return rows or mine

        monkeypatch.setattr("trainer.sft_trainer.gather_object", gather)
        figures = evaluation.play(trainer)
    if processes > 1 and not rows:
        rows.extend(row for share in shares for row in share)
        figures = evaluation.play(trainer)
    return figures


def test_the_figures_are_those_of_the_episodes(evaluation, held, traces, tiny_model, monkeypatch):
    expert = Expert(held, wander=0.4)
    environment = EnvironmentFactory(TreeStore(traces / "trees"))()
    episodes = [asyncio.run(run(expert, environment, question)) for question in held[:6]]
    episodes[0].correct = False
    monkeypatch.setattr(evaluation, "play_all", lambda model, questions: [
        next(episode for episode in episodes if episode.question_id == question.id) for question in questions
    ])  # fmt: skip
    figures = play(evaluation, tiny_model(8), monkeypatch)
    assert figures["eval_navigation_accuracy"] == pytest.approx(5 / 6)
    assert figures["eval_navigation_visits"] == pytest.approx(sum(len(episode.visits) for episode in episodes) / 6)
    assert figures["eval_navigation_unanswered"] == 0
    assert figures["eval_navigation_questions"] == 6
    assert 0 < figures["eval_navigation_grounding"] <= 1
    assert play(evaluation, tiny_model(8), monkeypatch, processes=4) == pytest.approx(figures)


def test_a_model_s_episodes_are_greedy_and_leave_it_as_it_was(evaluation, tiny_model, monkeypatch):
    model = tiny_model(len(evaluation.tokenizer)).train()
    first = evaluation.play_all(model, evaluation.questions)
    again = evaluation.play_all(model, evaluation.questions[3:])
    assert [episode.messages for episode in first[3:]] == [episode.messages for episode in again]
    play(evaluation, model, monkeypatch)
    assert model.training


def test_playing_changes_nothing_of_the_training(traces, base, tmp_path):
    played = sft(traces, base, tmp_path / "played", **EVALUATED)
    plain = sft(traces, base, tmp_path / "plain")
    assert same(weights(played), weights(plain))
    rows = [row for row in read_metrics(played / "metrics.jsonl") if "eval_navigation_accuracy" in row]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(row["eval_navigation_questions"] == 3 for row in rows)


@pytest.fixture
def scores(monkeypatch):
    """Makes the evaluations come out as told."""

    def tell(*values):
        left = list(values)
        monkeypatch.setattr(
            NavigationEvaluation, "play", lambda self, trainer, prefix: {f"{prefix}_navigation_accuracy": left.pop(0)}
        )

    return tell


def test_the_best_checkpoint_is_kept_and_a_run_that_gets_no_better_ends(traces, base, tmp_path, scores):
    scores(0.2, 0.9, 0.4, 0.9)
    best = {"metric_for_best_model": "eval_navigation_accuracy", "load_best_model_at_end": True}
    sft(traces, base, tmp_path, max_steps=20, early_stopping_patience=2, **EVALUATED, **best)
    kept = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert kept == ["checkpoint-4", "checkpoint-8"]
    assert same(weights(tmp_path), weights(tmp_path / "checkpoint-4"))
    assert not same(weights(tmp_path), weights(tmp_path / "checkpoint-8"))
    record = json.loads((tmp_path / "clipscout.json").read_text())
    assert (record["step"], record["steps"]) == (4, 8)


def test_no_held_out_question_is_an_error(traces, base, tmp_path):
    with pytest.raises(InputError) as error:
        sft(traces, base, tmp_path, held_out_share=0.0, **EVALUATED)
    assert error.value.field == "navigation_questions"


@pytest.mark.parametrize("options", [{"eval_strategy": "steps"}, {"eval_strategy": "steps", "eval_on_start": True}])
def test_a_run_that_nothing_is_held_out_to_evaluate_is_refused(traces, base, tmp_path, options):
    with pytest.raises(InputError) as error:
        sft(traces, base, tmp_path, held_out_share=0.0, eval_steps=2, **options)
    assert error.value.field == "eval_strategy"
