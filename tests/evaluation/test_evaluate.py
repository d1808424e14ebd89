"""The durable loop: resumed runs, torn files, other settings, broken policies."""

import asyncio
import json

import pytest

from evaluation.evaluate import evaluate
from evaluation.meter import Measures
from evaluation.policies import make_policy
from navigation import InputError, Limits, Policy, Reply, Status, answer_message, read_trajectories

FILES = ("trajectories.jsonl", "settings.json")


class Watching(Policy):
    """Passes on to another policy and counts; stops the whole run after `stop_after` finished answers."""

    def __init__(self, inner, stop_after=None):
        self.inner, self.name = inner, inner.name
        self.asked: list[str] = []
        self._stop_after = stop_after

    @property
    def settings(self):
        return self.inner.settings

    async def reply(self, task, messages):
        if self._stop_after is not None and len(set(self.asked)) > self._stop_after:
            raise asyncio.CancelledError
        self.asked.append(f"{task.question.id}#{task.sample}")
        return await self.inner.reply(task, messages)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


async def play(trees, factory, questions, mix, out, name="uniform", seed=0, **options):
    return await evaluate(
        make_policy(name, trees, questions, seed), questions, factory, mix=mix, out=out, **{"concurrency": 3, **options}
    )


async def test_every_question_is_played_scored_and_written_in_order(trees, factory, questions, mix, tmp_path):
    found = await play(trees, factory, questions, mix, tmp_path / "out", samples=2)
    assert [each.id for each in found] == [f"{each.id}#{sample}" for each in questions for sample in (0, 1)]
    written = list(read_trajectories(tmp_path / "out/trajectories.jsonl"))
    assert [each.id for each in written] == [each.id for each in found]
    assert [each.messages for each in written] == [each.messages for each in found]
    assert written[0].reward == {"answer": float(found[0].correct), "grounding": 0.04, "visit_cost": 4.0, "format": 0.0,
                                 "total": float(found[0].correct)}  # fmt: skip
    assert all(each.seconds > 0 for each in found)


async def test_the_index_of_retrieval_is_on_every_trajectory(trees, factory, questions, mix, tmp_path):
    for trajectory in await play(trees, factory, questions, mix, tmp_path / "out", "retrieval"):
        measures = Measures.of(trajectory)
        assert (trajectory.teacher, measures.visit_cost) == ({"model": "retrieval"}, 8.0)
        assert measures.index_captions == 27
        # The four leaves are among the 27 of the index; the three top-level captions are read in the prompt.
        assert measures.meter["captions"] == 30


@pytest.mark.parametrize("name", ["random", "retrieval"])
async def test_one_seed_gives_identical_files_at_any_concurrency(name, trees, factory, questions, mix, tmp_path):
    for folder, concurrency in (("a", 1), ("b", 6)):
        await play(trees, factory, questions, mix, tmp_path / folder, name, concurrency=concurrency)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("cut", [1, 40, 5000])
async def test_a_run_cut_anywhere_and_resumed_equals_one_never_cut(cut, trees, factory, questions, mix, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    await play(trees, factory, questions, mix, whole)
    await play(trees, factory, questions, mix, broken)
    path = broken / "trajectories.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    complete = path.read_bytes().count(b"\n")
    policy = Watching(make_policy("uniform", trees, questions))
    found = await evaluate(policy, questions, factory, mix=mix, out=broken, concurrency=2)
    assert contents(whole) == contents(broken)
    assert len(set(policy.asked)) == len(questions) - complete > 0
    assert [each.id for each in found] == [f"{each.id}#0" for each in questions]


async def test_a_run_stopped_in_flight_keeps_what_was_finished(trees, factory, questions, mix, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    await play(trees, factory, questions, mix, whole)
    first = Watching(make_policy("uniform", trees, questions), stop_after=3)
    with pytest.raises(asyncio.CancelledError):
        await evaluate(first, questions, factory, mix=mix, out=stopped, concurrency=1)
    kept = [each.id for each in read_trajectories(stopped / "trajectories.jsonl")]
    assert len(kept) == 3
    second = Watching(make_policy("uniform", trees, questions))
    await evaluate(second, questions, factory, mix=mix, out=stopped, concurrency=4)
    assert not set(kept) & set(second.asked)
    assert contents(whole) == contents(stopped)


async def test_a_finished_run_is_not_played_again(trees, factory, questions, mix, tmp_path):
    first = await play(trees, factory, questions, mix, tmp_path / "out")
    policy = Watching(make_policy("uniform", trees, questions))
    again = await evaluate(policy, questions, factory, mix=mix, out=tmp_path / "out", keep_messages=False)
    assert policy.asked == []
    assert [each.visits for each in again] == [each.visits for each in first]
    assert [each.seconds for each in again] == [each.seconds for each in first]
    assert all(each.messages == [] for each in again)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"seed": 1}, "policy.seed: 0 before, 1 now"),
        ({"samples": 2}, "samples: 1 before, 2 now"),
        ({"limits": Limits(turns=3)}, "limits.turns: 15 before, 3 now"),
        ({"name": "exhaustive"}, 'policy.name: "uniform" before, "exhaustive" now'),
        ({"settings": {"checkpoint": "b"}}, 'checkpoint: absent before, "b" now'),
    ],
)
async def test_a_folder_with_other_settings_is_refused(change, shown, trees, factory, questions, mix, tmp_path):
    await play(trees, factory, questions, mix, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError) as caught:
        await play(trees, factory, questions, mix, tmp_path / "out", **change)
    assert caught.value.field == "settings"
    assert shown in str(caught.value)
    assert contents(tmp_path / "out") == before


async def test_episodes_of_something_else_are_no_finished_episodes(trees, factory, questions, mix, tmp_path):
    await play(trees, factory, questions, mix, tmp_path / "out", "expert")
    (tmp_path / "out/settings.json").unlink()
    before = (tmp_path / "out/trajectories.jsonl").read_bytes()
    with pytest.raises(InputError) as error:
        await play(trees, factory, questions, mix, tmp_path / "out", "random")
    assert (error.value.source, error.value.field) == (str(tmp_path / "out/trajectories.jsonl"), "file")
    assert (tmp_path / "out/trajectories.jsonl").read_bytes() == before
    assert not (tmp_path / "out/settings.json").exists()


async def test_a_kill_before_the_settings_were_written_is_gone_on_from(trees, factory, questions, mix, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/trajectories.jsonl").touch()
    assert len(await play(trees, factory, questions, mix, tmp_path / "out")) == len(questions)


async def test_other_questions_or_another_mix_are_other_settings(trees, factory, questions, mix, tmp_path):
    await play(trees, factory, questions, mix, tmp_path / "out")
    with pytest.raises(InputError) as error:
        await play(trees, factory, questions[1:], mix, tmp_path / "out")
    assert error.value.field == "settings"
    assert "questions.count: 6 before, 5 now" in error.value.hint
    with pytest.raises(InputError) as error:
        await play(trees, factory, questions, type(mix)(weight=2.0), tmp_path / "out")
    assert error.value.field == "settings"
    assert "mix.weight: 1.0 before, 2.0 now" in error.value.hint


async def test_two_processes_do_not_write_one_folder(trees, factory, questions, mix, tmp_path):
    class Meddling(Watching):
        async def reply(self, task, messages):
            with pytest.raises(InputError) as error:
                await play(trees, factory, questions, mix, tmp_path / "out")
            assert error.value.field == "evaluation"
            return await super().reply(task, messages)

    policy = Meddling(make_policy("uniform", trees, questions))
    found = await evaluate(policy, questions, factory, mix=mix, out=tmp_path / "out")
    assert all(each.status is Status.ANSWERED for each in found)


async def test_a_policy_that_breaks_is_a_failed_episode_and_no_letter(trees, factory, questions, mix, tmp_path):
    class Broken(Policy):
        name = "broken"

        async def reply(self, task, messages):
            if task.question.id.endswith("what"):
                raise OSError("endpoint is gone")
            return Reply(answer_message("", "B"))

    found = await evaluate(Broken(), questions, factory, mix=mix, out=tmp_path / "out")
    failed = [each for each in found if each.status is Status.FAILED]
    assert len(failed) == 3
    assert all(each.prediction is None and "endpoint is gone" in each.error for each in failed)


async def test_bad_input_is_refused_before_anything_is_played(trees, factory, questions, mix, tmp_path):
    with pytest.raises(InputError) as error:
        await play(trees, factory, [*questions, questions[0]], mix, tmp_path / "out")
    assert (error.value.field, error.value.value) == ("id", questions[0].id)
    trees.path("v1").unlink()
    with pytest.raises(InputError) as error:
        await play(trees, factory, questions, mix, tmp_path / "out")
    assert (error.value.field, error.value.value) == ("video_id", "v1")
    with pytest.raises(InputError) as error:
        await play(trees, factory, [], mix, tmp_path / "out")
    assert (error.value.field, error.value.value) == ("questions", [])
    with pytest.raises(InputError) as error:
        await play(trees, factory, questions, mix, tmp_path / "out", samples=0)
    assert (error.value.field, error.value.value) == ("samples", 0)
    assert not (tmp_path / "out").exists()


async def test_a_broken_line_in_the_middle_is_named(trees, factory, questions, mix, tmp_path):
    await play(trees, factory, questions, mix, tmp_path / "out")
    path = tmp_path / "out/trajectories.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1][:50] + "\n", *lines[2:]]))
    with pytest.raises(InputError) as error:
        await play(trees, factory, questions, mix, tmp_path / "out")
    assert error.value.source == f"{path}:2"


async def test_wall_times_stay_out_of_the_compared_file(trees, factory, questions, mix, tmp_path):
    await play(trees, factory, questions, mix, tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out/trajectories.jsonl").read_text().splitlines()]
    assert all("seconds" not in row for row in rows)
    timings = [json.loads(line) for line in (tmp_path / "out/timings.jsonl").read_text().splitlines()]
    assert [each["id"] for each in timings] == [each["id"] for each in rows]


async def test_progress_is_plain_lines_where_there_is_no_terminal(trees, factory, questions, mix, tmp_path, capsys):
    await play(trees, factory, questions, mix, tmp_path / "out")
    shown = capsys.readouterr().err
    assert "uniform 6/6" in shown
    assert "· accuracy " in shown
    assert "\x1b" not in shown
    await play(trees, factory, questions, mix, tmp_path / "out")
    assert "uniform 6/6 · accuracy" in capsys.readouterr().err
