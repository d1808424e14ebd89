"""Models over HTTP: as the policy with native tool calls, and as the judge of a search; paid once, resumed, stopped."""

import json

import pytest

from evaluation.evaluate import EvaluationStopped
from evaluation.policies.endpoint import wire_messages
from evaluation.policies.judge import read_table
from evaluation.run import EndpointOptions, evaluate_corpus
from navigation import InputError, Status, read_trajectories, write_jsonl
from runtime import EndpointSettings
from tests.evaluation.scripted_model import ScriptedModel, call


def navigator(body):
    """Opens [1, 2], asks about a leaf before its caption was read, then answers B."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    if turn == 0:
        return {"reasoning_content": "Look.", "tool_calls": [call("get_caption", {"segment": [1, 2]})]}
    if turn == 1:
        return {"tool_calls": [call("video_qa", {"segment": [1, 2, 1], "query": "what?"}), call("get_caption", "{[")]}
    return {"content": "<answer>B</answer>"}


def judge(body):
    """Rates the last part of everything highest, extracts nothing, and is sure of B."""
    text = body["messages"][0]["content"]
    if "JSON only" in text:
        return {"content": json.dumps([[0.1, 0.2, 0.9]] * text.count("\n1. ") * 40)}
    if "three sentences" in text:
        return {"content": "nothing."}
    return {"content": "I see. <answer>B</answer><confidence>0.9</confidence><evidence>10-20</evidence>"}


@pytest.fixture
def corpus(tmp_path, trees, questions):
    write_jsonl(tmp_path / "questions.jsonl", (question.to_dict() for question in questions))
    return {"questions": tmp_path / "questions.jsonl", "trees": trees.folder}


def options(server, **more):
    settings = EndpointSettings(server.url, "stub", attempts=2, first_wait=0.001, longest_wait=0.001, down_after=2)
    return EndpointOptions(settings, **more)


def test_native_tool_calls_are_played_metered_and_kept(corpus, tmp_path):
    with ScriptedModel(navigator) as server:
        summary = evaluate_corpus(**corpus, policy="endpoint", out=tmp_path / "out", endpoint=options(server))
    scores = summary["policies"]["endpoint"]
    assert (scores["n"], scores["answered"], scores["visits"], scores["refused"]) == (6, 6, 1.0, 2.0)
    assert (scores["prompt_tokens"], scores["completion_tokens"]) == (300.0, 30.0)
    assert scores["meter"]["model_calls"] == {"mean": 3.0, "total": 18.0}
    # The stub's price: 0.5 and 2 USD a million.
    assert scores["meter"]["usd"]["total"] == pytest.approx(18 * (100 * 0.5 + 10 * 2) / 1e6)
    assert summary["card"]["policy"]["model"] == "stub"
    for trajectory in read_trajectories(tmp_path / "out/trajectories.jsonl"):
        assert trajectory.status is Status.ANSWERED
        assert trajectory.messages[2]["reasoning_content"] == "Look."
    assert len(server.requests) == 18


def test_what_is_sent_is_what_the_api_takes(corpus, tmp_path):
    with ScriptedModel(navigator) as server:
        evaluate_corpus(**corpus, policy="endpoint", out=tmp_path / "out", endpoint=options(server), limit=1)
    first, _, last = server.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == ["get_caption", "video_qa"]
    assert all(set(tool["function"]) == {"name", "description", "parameters"} for tool in first["tools"])
    assert (first["temperature"], first["seed"], first["model"]) == (0.0, 0, "stub")
    roles = [message["role"] for message in last["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool", "tool"]
    asked = [each["id"] for message in last["messages"] for each in message.get("tool_calls", ())]
    assert [message["tool_call_id"] for message in last["messages"] if message["role"] == "tool"] == asked
    assert len(set(asked)) == 3
    assert all(isinstance(each["function"]["arguments"], str)
               for message in last["messages"] for each in message.get("tool_calls", ()))  # fmt: skip


def test_a_run_that_lost_its_results_pays_for_nothing_again(corpus, tmp_path):
    with ScriptedModel(navigator) as server:
        evaluate_corpus(**corpus, policy="endpoint", out=tmp_path / "out", endpoint=options(server))
        whole = (tmp_path / "out/result.jsonl").read_bytes()
        path = tmp_path / "out/trajectories.jsonl"
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
        (tmp_path / "out/summary.json").unlink()
        evaluate_corpus(**corpus, policy="endpoint", out=tmp_path / "out", endpoint=options(server))
        assert len(server.requests) == 18
    assert (tmp_path / "out/result.jsonl").read_bytes() == whole


def test_an_endpoint_that_is_down_stops_the_run_and_fails_no_question(corpus, tmp_path):
    with ScriptedModel(navigator, status=401) as server:
        with pytest.raises(EvaluationStopped, match="401"):
            evaluate_corpus(**corpus, policy="endpoint", out=tmp_path / "out", endpoint=options(server))
        assert list(read_trajectories(tmp_path / "out/trajectories.jsonl")) == []
        server.status = 200
        summary = evaluate_corpus(**corpus, policy="endpoint", out=tmp_path / "out", endpoint=options(server))
    assert summary["policies"]["endpoint"]["answered"] == 6


def test_money_used_up_stops_the_run_and_more_money_goes_on(corpus, tmp_path):
    with ScriptedModel(navigator) as server:
        with pytest.raises(EvaluationStopped, match="money"):
            evaluate_corpus(
                **corpus, policy="endpoint", out=tmp_path / "out", concurrency=1,
                endpoint=options(server, max_tokens=10, max_usd=0.0006),
            )  # fmt: skip
        assert 0 < len(server.requests) < 18
        summary = evaluate_corpus(
            **corpus, policy="endpoint", out=tmp_path / "out", endpoint=options(server, max_tokens=10)
        )
        assert len(server.requests) == 18
    assert summary["policies"]["endpoint"]["answered"] == 6


@pytest.mark.parametrize(
    "policy", ["best_first", "coarse_to_fine", "spotlight", "consensus", "exhaustive", "closed_book"]
)
def test_a_model_judges_in_every_strategy(policy, corpus, tmp_path):
    with ScriptedModel(judge) as server:
        summary = evaluate_corpus(**corpus, policy=policy, out=tmp_path / "out", endpoint=options(server), limit=2)
    (scores,) = summary["policies"].values()
    assert scores["answered"] == 2
    assert scores["meter"]["model_calls"]["total"] == len(server.requests) > 0
    assert scores["prompt_tokens"] * 2 == 100 * len(server.requests)
    for trajectory in read_trajectories(tmp_path / "out/trajectories.jsonl"):
        assert trajectory.prediction == "B"
        assert trajectory.measures["evidence"] == [[10.0, 20.0]]


def test_an_endpoint_without_an_address_is_refused(corpus, tmp_path):
    with pytest.raises(InputError) as error:
        evaluate_corpus(**corpus, policy="endpoint", out=tmp_path / "out")
    assert error.value.field == "url"


def test_broken_arguments_and_unasked_replies_still_have_ids():
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{["}}]},
        {"role": "tool", "content": "no"}, {"role": "tool", "content": "unasked"},
    ]  # fmt: skip
    first, second, third = wire_messages(messages)
    assert first["tool_calls"][0]["function"]["arguments"] == "{}"
    assert second["tool_call_id"] == first["tool_calls"][0]["id"] != third["tool_call_id"]


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("[[0.1, 1], [0, 0.5]]", [[0.1, 1.0], [0.0, 0.5]]),
        ("Sure: [[0.1, 1]]", [[0.1, 1.0], [0.5, 0.5]]),
        ("[[0.1, 7], [true, 0.5]]", [[0.5, 0.5], [0.5, 0.5]]),
        ("[[1, 1, 1]] [x] [0.2, 0.3]", [[0.5, 0.5], [0.5, 0.5]]),
        ("", [[0.5, 0.5], [0.5, 0.5]]),
        ("[" * 100_000, [[0.5, 0.5], [0.5, 0.5]]),
    ],
)
def test_ratings_are_read_leniently(text, table):
    assert read_table(text, 2, 2) == table
