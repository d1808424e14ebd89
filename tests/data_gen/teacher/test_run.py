import asyncio
import json

import pytest

from benchmarks.teacher_server import Manners
from data_gen.expert import Expert
from data_gen.sets import SetSettings, export_sets
from data_gen.teacher import read_trajectories
from data_gen.teacher.run import TeacherRun
from longvideo_r1.turns import read_turn
from navigation import InputError, LineAnswerer, read_jsonl, read_questions, write_jsonl
from runtime import Budget, Completion, Endpoint, Journal, Usage
from runtime.paid_calls import CallCache
from runtime.ranked_run import run_ranks


async def teach(job):
    return await asyncio.to_thread(run_ranks, job, quiet=True)


def ids(folder):
    return [trajectory.id for trajectory in read_trajectories(folder / "trajectories.jsonl")]


async def test_every_question_ends_once_in_order_despite_faults_and_bad_manners(world):
    manners = Manners(wrong=0.4, hints_needed=2, nonsense=0.1, double=0.3, telling=0.5)
    async with world.served(manners, faults=0.1, hang=0.2) as (stub, url):
        report = await teach(world.job(url, samples=2))
    expected = [f"{question.id}#{sample}" for question in world.questions for sample in range(2)]
    failed = [row["id"] for _, row in read_jsonl(world.folder / "failed.jsonl")]
    assert sorted(ids(world.folder) + failed) == sorted(expected)
    assert ids(world.folder) == [name for name in expected if name not in failed]
    modes = {(world.folder / name).stat().st_mode for name in ("questions.jsonl", "trajectories.jsonl", "failed.jsonl")}
    assert len(modes) == 1, "trajectories are as readable for others as the questions are"
    assert report.usage.usd > 0
    assert stub.stats["faults"]
    trajectories = list(read_trajectories(world.folder / "trajectories.jsonl"))
    assert any(trajectory.teacher["hints"] for trajectory in trajectories)
    assert all("is wrong" not in json.dumps(trajectory.messages) for trajectory in trajectories)


async def test_a_finished_run_asks_nothing_again(world):
    async with world.served() as (stub, url):
        await teach(world.job(url))
        requests, written = stub.stats["requests"], (world.folder / "trajectories.jsonl").read_bytes()
        report = await teach(world.job(url))
        assert stub.stats["requests"] == requests
    assert (world.folder / "trajectories.jsonl").read_bytes() == written
    assert report.complete


async def test_a_episode_that_broke_off_pays_only_for_its_rest(world):
    async with world.served() as (stub, url):
        await teach(world.job(url))
        requests, written = stub.stats["requests"], (world.folder / "trajectories.jsonl").read_bytes()
        # As after a kill between the last reply and the trajectory's own line: trajectories gone, one reply gone.
        folder = world.job(url).rank_folder(0)
        (folder / "trajectories.jsonl").unlink()
        lines = (folder / "calls.jsonl").read_bytes().splitlines(keepends=True)
        (folder / "calls.jsonl").write_bytes(b"".join(lines[:-1]))
        report = await teach(world.job(url))
        assert stub.stats["requests"] == requests + 1
        assert report.reused == requests - 1
    assert (world.folder / "trajectories.jsonl").read_bytes() == written


async def test_other_settings_are_refused_with_the_difference(world):
    async with world.served() as (stub, url):
        await teach(world.job(url))
        requests = stub.stats["requests"]
        with pytest.raises(InputError) as error:
            await teach(world.job(url, temperature=0.2))
        assert error.value.field == "settings"
        assert "temperature: 0.7 before, 0.2 now" in error.value.hint
        with pytest.raises(InputError) as error:
            await teach(world.job(url, tasks=2))
        assert error.value.field == "settings"
        assert "tasks: 1 before, 2 now" in error.value.hint
        assert stub.stats["requests"] == requests


async def test_changed_questions_and_captions_are_refused_and_added_ones_are_played(world):
    path = world.folder / "questions.jsonl"
    rows = [row for _, row in read_jsonl(path)]
    write_jsonl(path, rows[:-1])
    async with world.served() as (stub, url):
        await teach(world.job(url))
        requests = stub.stats["requests"]
        write_jsonl(path, [*rows[:-1], {**rows[0], "id": "changed later"}])
        await teach(world.job(url))
        assert stub.stats["requests"] > requests
        assert ids(world.folder)[-1] == "changed later#0"
        write_jsonl(path, [{**rows[0], "question": "Another one?"}, *rows[1:-1]])
        with pytest.raises(InputError) as error:
            await teach(world.job(url))
        assert (error.value.field, error.value.value) == ("questions", f"1 changed: {rows[0]['id']}")
        write_jsonl(path, rows[:-1])
        tree = world.trees.path(rows[0]["video_id"])
        tree.write_text(tree.read_text().replace(" ", "  ", 1))
        with pytest.raises(InputError) as error:
            await teach(world.job(url))
        assert (error.value.field, error.value.value) == ("trees", f"1 changed: {rows[0]['video_id']}")


async def test_half_of_a_surrogate_pair_breaks_nothing(world):
    path = world.folder / "questions.jsonl"
    rows = [row for _, row in read_jsonl(path)]
    rows[0]["question"] += " \ud83d?"
    write_jsonl(path, rows)
    world.questions = list(read_questions(path))
    async with world.served() as (_, url):
        report = await teach(world.job(url))
    assert report.complete
    assert ids(world.folder)[0] == f"{rows[0]['id']}#0"
    made = export_sets(world.folder, world.folder / "sets", SetSettings(0.0))
    assert sum(made.rl.values()) == len(rows)


async def test_shards_share_the_questions_and_make_one_file(world):
    async with world.served() as (_, url):
        job = world.job(url, tasks=2)
        report = await teach(job)
    assert report.complete
    assert ids(world.folder) == [f"{question.id}#0" for question in world.questions]
    sizes = []
    for rank in range(2):
        with Journal(job.rank_folder(rank) / "trajectories.jsonl", job.to_dict()) as journal:
            sizes.append(len(journal))
    assert sum(sizes) == len(world.questions)
    assert min(sizes) > 0


async def test_the_limit_on_money_holds_and_a_higher_one_goes_on(world):
    async with world.served() as (stub, url):
        report = await teach(world.job(url, max_usd=0.008))
        assert report.left > 0
        assert "limit on money" in report.stopped
        spent = report.usage.usd
        assert spent <= 0.0085
        answered = stub.stats["answered"]
        report = await teach(world.job(url, max_usd=5.0))
        assert report.complete
        assert report.earlier.usd == pytest.approx(spent)
        assert stub.stats["answered"] - answered == report.usage.requests


async def test_a_missing_tree_is_listed_and_the_others_go_on(world):
    gone = world.questions[0].video_id
    world.trees.path(gone).unlink()
    stub_questions = [question for question in world.questions if question.video_id != gone]
    async with world.served() as (_, url):
        report = await teach(world.job(url))
    assert report.finished == len(stub_questions)
    failed = [row for _, row in read_jsonl(world.folder / "failed.jsonl")]
    assert {row["video_id"] for row in failed} == {gone}
    assert all("caption tree" in row["reason"] for row in failed)


async def test_a_video_that_breaks_its_decoder_fails_its_own_episodes_alone(world, tmp_path):
    broken = world.questions[0].video_id

    class Answerer(LineAnswerer):
        def answer(self, tree, path, query):
            if tree.video_id == broken:
                raise ZeroDivisionError("a time base of 0")
            return super().answer(tree, path, query)

    async with world.served() as (stub, url):
        stub.policy = Expert(world.questions, verify=1.0)
        settings = world.job(url).settings
        with (
            Journal(tmp_path / "calls.jsonl", {}) as replies,
            Journal(tmp_path / "trajectories.jsonl", {}) as trajectories,
        ):
            calls = CallCache(Endpoint(world.job(url).endpoint), replies)
            report = await TeacherRun(world.trees, calls, trajectories, settings, Answerer()).run(world.questions)
            await calls.endpoint.__aexit__()
            assert (
                report.finished == len(trajectories) == sum(question.video_id != broken for question in world.questions)
            )
    assert {row["video_id"] for row in report.failed} == {broken}
    assert {row["reason"] for row in report.failed} == {"ZeroDivisionError: a time base of 0"}
    assert report.left == 0


async def test_episodes_that_ran_out_of_rounds_are_finished_not_an_error(world):
    async with world.served() as (_, url):
        report = await teach(world.job(url, rounds=2))
    assert report.complete
    assert report.terminations == {"out_of_rounds": report.trajectories}


async def test_an_endpoint_that_is_gone_is_said_and_the_next_run_goes_on(world):
    async with world.served() as (_, url):
        pass
    report = await teach(world.job(url))
    assert not report.complete
    assert report.left + len(report.failed) == report.trajectories
    assert "connection failed" in (report.stopped + str(report.failed))
    async with world.served() as (_, url):
        assert (await teach(world.job(url))).complete


def test_a_folder_without_questions_is_refused(tmp_path, world):
    world.folder = tmp_path
    with pytest.raises(InputError) as error:
        run_ranks(world.job("http://127.0.0.1:9/v1"), quiet=True)
    assert (error.value.source, error.value.field) == (str(tmp_path), "folder")


async def test_calls_that_a_server_took_out_of_the_text_are_read(world, tmp_path):
    function = {"name": "get_caption", "arguments": '{"segment": [1, 1]}'}
    replies = [{"content": "<think>a</think>", "tool_calls": [{"type": "function", "function": function}]}]

    class Server:
        budget = Budget()

        async def chat(self, messages, max_tokens, accept=None, **parameters):
            return Completion(replies[0], "tool_calls", Usage(requests=1))

    with Journal(tmp_path / "calls.jsonl", {}) as journal:
        record, _ = await CallCache(Server(), journal).chat("key", [], 10)
    step = read_turn(record["content"], 4)
    assert (step.reasoning, step.tool, step.arguments) == ("a", "get_caption", {"segment": [1, 1]})
