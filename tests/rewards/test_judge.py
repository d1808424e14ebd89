"""A judge by votes: what it costs, when it stops, what is no verdict, and that nothing is paid for twice."""

import asyncio
import json
import pickle
import sys
from pathlib import Path

import pytest

from navigation import InputError, Question, RequestFailed, Status, TimeGrid
from rewards import RewardMix
from rewards.answer import Verdict, judged, no_verdict, overlap
from rewards.calibration import kappa, read_pairs, table
from rewards.judge import USELESS_AFTER, JudgeSettings, JudgeThread, ModelJudge
from rewards.verdict_text import LONGEST

sys.path.append(str(Path(__file__).parent))
from scripted_judge import BAD, ScriptedJudge, at_random, fair, judged_answer, verdict
from test_verdict_text import HOSTILE

QUESTION = Question("q", "v", "What colour?", (), "", duration=90.0, references=("red",))


def opened(settings, folder):
    return ModelJudge(settings, folder / "judge.jsonl")


def ask(say, answers, tmp_path, **settings):
    """Verdicts, or the errors instead of them, and how many requests that took."""

    async def go():
        async with ScriptedJudge(say) as server, opened(server.settings(**settings), tmp_path) as judge:
            asked = [judged(QUESTION, answer, judge) for answer in answers]
            found = await asyncio.gather(*asked, return_exceptions=True)
            return found, server.requests, judge.stopped

    return asyncio.run(go())


def test_rules_come_first_and_two_votes_that_agree_are_enough(tmp_path):
    found, requests, _ = ask(fair, ["Red.", "crimson", "reddish", "blue"], tmp_path)
    assert [(each.label, each.share, each.by) for each in found] == [
        ("right", 1.0, "exact"), ("right", 1.0, "judge"), ("partly", 0.5, "judge"), ("wrong", 0.0, "judge"),
    ]  # fmt: skip
    assert found[1].votes == ("right", "right")
    assert len(requests) == 6
    assert all(request["temperature"] == 0 for request in requests)


def test_votes_that_differ_are_followed_by_another(tmp_path):
    said = iter([verdict("right"), verdict("wrong"), verdict("wrong")])
    found, requests, _ = ask(lambda answer: next(said), ["crimson"], tmp_path)
    assert (found[0].label, sorted(found[0].votes)) == ("wrong", ["right", "wrong", "wrong"])
    assert found[0].agreement == 2 / 3
    assert len(requests) == 3


def test_without_a_majority_nobody_can_tell(tmp_path):
    said = iter([verdict("right"), verdict("wrong"), verdict("partly", 0.5)])
    found, _, _ = ask(lambda answer: next(said), ["crimson"], tmp_path)
    assert (found[0].label, found[0].share) == ("cannot_tell", None)


def test_votes_see_the_texts_in_both_orders(tmp_path):
    _, requests, _ = ask(fair, ["crimson"], tmp_path)
    firsts = [text.index("<answer ") < text.index("<references ") for text in map(_prompt, requests)]
    assert sorted(firsts) == [False, True]


def _prompt(request):
    return request["messages"][0]["content"]


def test_nothing_is_paid_for_twice(tmp_path):
    ask(fair, ["crimson", "crimson", "blue"], tmp_path)
    found, requests, _ = ask(fair, ["crimson", "blue"], tmp_path)
    assert [each.label for each in found] == ["right", "wrong"]
    assert requests == []


def test_another_judge_is_refused_the_journal(tmp_path):
    ask(fair, ["crimson"], tmp_path)
    with pytest.raises(InputError):
        ask(fair, ["crimson"], tmp_path, votes=5)


def test_hostile_answers_reach_a_judge_inside_their_tags_and_none_is_right(tmp_path):
    """By a judge who quotes each in its reason, through requests and replies as they go over the wire."""
    quoting = lambda answer: json.dumps({"reason": answer, "verdict": "wrong", "share": 0})  # noqa: E731
    found, requests, _ = ask(quoting, HOSTILE, tmp_path, timeout=30.0)
    assert {each.label for each in found} == {"wrong"}
    seen = {judged_answer(_prompt(request)) for request in requests}
    assert {answer for answer in HOSTILE if len(answer) <= LONGEST} <= seen
    assert max(map(len, seen)) < LONGEST + 60


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_had_is_no_verdict(name, tmp_path):
    found, _, _ = ask(BAD[name], ["crimson"], tmp_path)
    assert isinstance(found[0], RequestFailed)


def test_an_outage_is_asked_again(tmp_path):
    found, _, _ = ask(BAD["error"], ["crimson"], tmp_path)
    assert isinstance(found[0], RequestFailed)
    found, _, _ = ask(fair, ["crimson"], tmp_path)
    assert found[0].right


def test_a_judge_that_cannot_be_read_is_asked_no_more(tmp_path):
    async def go():
        async with ScriptedJudge(BAD["prose"]) as server, opened(server.settings(), tmp_path) as judge:
            requests = []
            for number in range(30):
                before = len(server.requests)
                with pytest.raises(RequestFailed):
                    await judged(QUESTION, f"shade {number}", judge)
                requests.append(len(server.requests) - before)
            return requests, judge.stopped

    requests, stopped = asyncio.run(go())
    assert stopped
    # Two votes at once, each asked twice: what one has begun is over before the next answer's are asked.
    assert requests == [4] * USELESS_AFTER + [0] * (30 - USELESS_AFTER)


def test_a_server_that_knows_no_schema_is_asked_without(tmp_path):
    from runtime.testing.chat_server import Raw

    async def go():
        async with ScriptedJudge(fair) as server:

            async def answer(request, body):
                if "response_format" in request:
                    return Raw(400, {"error": {"message": "response_format is not supported"}})
                return await server._answer(request, body)

            server._server.script = answer
            async with ModelJudge(server.settings(), tmp_path / "judge.jsonl") as judge:
                return await judged(QUESTION, "crimson", judge)

    assert asyncio.run(go()).right


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"votes": 2}, "votes"), ({"votes": 0}, "votes"), ({"max_tokens": 0}, "max_tokens"), ({"url": "x"}, "url"),
        ({"model": ""}, "model"), ({"prompt": "/none"}, "judge prompt"), ({"vote": 3}, "vote"), ({"model": 3}, "model"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(more, field):
    with pytest.raises(InputError) as error:
        JudgeSettings.from_config({"url": "http://localhost:1", "model": "m", **more})
    assert error.value.field == field


def test_a_prompt_without_its_fields_is_refused(tmp_path):
    (tmp_path / "p.txt").write_text("Judge!")
    with pytest.raises(InputError) as error:
        JudgeSettings("http://localhost:1", "m", prompt=str(tmp_path / "p.txt"))
    assert error.value.field == "judge prompt"


def test_a_batch_is_judged_from_code_that_does_not_wait(tmp_path):
    async def go():
        async with ScriptedJudge(fair) as server:
            thread = pickle.loads(pickle.dumps(JudgeThread(server.settings(), tmp_path / "judge.jsonl")))
            answers = [(QUESTION, answer) for answer in ("crimson", "red", "blue", "crimson")]
            found = await asyncio.to_thread(thread.verdicts, answers)
            return [each.label for each in found], len(server.requests)

    labels, requests = asyncio.run(go())
    assert labels == ["right", "right", "wrong", "right"]
    assert requests == 4


def test_an_outage_in_a_batch_leaves_the_others_their_verdict(tmp_path):
    from runtime.testing.chat_server import Raw

    async def go():
        async with ScriptedJudge(lambda answer: Raw(500) if "lost" in answer else fair(answer)) as server:
            thread = JudgeThread(server.settings(), tmp_path / "judge.jsonl")
            answers = [(QUESTION, answer) for answer in ("crimson", "lost", "blue")]
            return await asyncio.to_thread(thread.verdicts, answers)

    found = asyncio.run(go())
    assert [each.share for each in found] == [1.0, None, 0.0]
    assert found[1].reason


GRID = TimeGrid(90.0, 3, 1)


@pytest.mark.parametrize(
    ("said", "answer", "charged"),
    [
        (Verdict("right", 1.0, "judge"), 1.0, True), (Verdict("partly", 0.4, "judge"), 0.4, False),
        (Verdict("wrong", 0.0, "judge"), 0.0, False), (None, 0.0, False),
    ],
)  # fmt: skip
def test_the_reward_of_an_answer_in_words_is_its_share(said, answer, charged):
    scored = RewardMix().score(QUESTION, GRID, [], Status.ANSWERED, "crimson", 0, verdict=said)
    assert scored.parts["answer"] == answer
    assert (scored.parts["visit_cost"] is not None) == charged


@pytest.mark.parametrize("said", [no_verdict("gone"), Verdict("cannot_tell", None, "judge")])
def test_without_a_verdict_there_is_no_reward(said):
    scored = RewardMix().score(QUESTION, GRID, [], Status.ANSWERED, "crimson", 0, verdict=said)
    assert scored.total is None
    assert set(scored.parts.values()) == {None}


def test_without_a_judge_rules_decide():
    scored = RewardMix().score(QUESTION, GRID, [], Status.ANSWERED, "the red", 0)
    assert scored.parts["answer"] == 1.0


def test_overlap_is_of_the_reference_that_fits_best():
    assert overlap("a red hat", ["blue", "the red cap"]) == {"token_f1": 0.5, "rouge_l": 0.5}
    assert overlap("红色的帽子", ["红色帽子"])["token_f1"] > 0.8
    assert overlap("", ["red"]) == {"token_f1": 0.0, "rouge_l": 0.0}


def test_the_project_s_pairs_cover_what_judges_get_wrong():
    pairs, _ = read_pairs()
    assert len(pairs) >= 150
    kinds = {pair.question.kind for pair in pairs}
    assert {"paraphrase", "partial", "contradiction", "hedging", "number", "unit", "negation", "injection"} <= kinds
    assert len({(pair.question.question, pair.answer) for pair in pairs}) == len(pairs)


def test_rules_alone_call_nothing_right_that_people_call_wrong():
    pairs, _ = read_pairs()
    verdicts = asyncio.run(_all(pairs))
    found = table(pairs, verdicts)
    assert found["precision"] == 1.0
    assert found["false_right"] == 0


async def _all(pairs, judge=None):
    return [await judged(pair.question, pair.answer, judge) for pair in pairs]


def test_a_random_judge_agrees_by_chance_alone(tmp_path):
    pairs, _ = read_pairs()
    pairs = [pair for pair in pairs if pair.question.kind in ("paraphrase", "contradiction", "detail")]

    async def go():
        async with ScriptedJudge(at_random()) as server, opened(server.settings(), tmp_path) as judge:
            return await _all(pairs, judge)

    found = table(pairs, asyncio.run(go()))
    assert abs(found["kappa"]) < 0.35
    assert found["split_votes"] > 0.3


def test_kappa_takes_chance_out():
    assert kappa(100, 50, 50, 100) == 1.0
    assert kappa(100, 50, 50, 50) == 0.0
    assert kappa(100, 100, 100, 100) is None
    # Cohen 1960: 0.7 observed, 0.5 by chance
    assert kappa(50, 25, 30, 35) == 0.4


def test_public_sets_are_read_in_their_own_shape(tmp_path):
    (tmp_path / "NQ.json").write_text(
        json.dumps(
            [
                {
                    "question": "who", "golden_answer": "Ann/Anne", "answer_fid": "ann", "judge_fid": True,
                    "answer_x": "Bob", "judge_x": False, "answer_y": None, "judge_y": None, "improper": False,
                },
                {"question": "when", "golden_answer": "1", "answer_fid": "2", "judge_fid": True, "improper": True},
            ]
        )
    )  # fmt: skip
    pairs, left_out = read_pairs(tmp_path / "NQ.json")
    assert [(pair.answer, pair.verdict, pair.question.references) for pair in pairs] == [
        ("ann", "right", ("Ann", "Anne")), ("Bob", "wrong", ("Ann", "Anne")),
    ]  # fmt: skip
    assert left_out.total() == 2
    table_rows = ["id\tQuestion\tModel answer\tAcceptable?", "1\twho\tAnn\tYes", '1\twho\tthe "Anne\tYes']
    table_rows += ["1\twho\tBob\tNo", "2\tx\tno\tNo"]
    (tmp_path / "NQ301.tsv").write_text("\n".join(table_rows) + "\n")
    pairs, left_out = read_pairs(tmp_path / "NQ301.tsv")
    assert [(pair.answer, pair.verdict, pair.question.references) for pair in pairs] == [
        ("Ann", "right", ('the "Anne',)), ('the "Anne', "right", ("Ann",)), ("Bob", "wrong", ("Ann",)),
    ]  # fmt: skip
    assert left_out.total() == 1


@pytest.mark.parametrize(
    ("name", "text"), [("a.tsv", "x\ty\n"), ("a.json", "{"), ("a.jsonl", '{"verdict": "maybe"}\n')]
)
def test_files_of_another_shape_are_refused(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError):
        read_pairs(tmp_path / name)
