"""Misbehaving servers: what each makes of captions, teacher, evaluation, `ask` and GRPO's `video_qa`, and the bill."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clipscout.ask.policies import LiveCalls
from clipscout.ask.session import ask, make_question
from clipscout.ask.settings import AskSettings
from clipscout.ask.video_source import open_source
from data_gen.captions import CaptionJob, CaptionSettings
from data_gen.captions.stage import caption
from data_gen.clips import ClipService
from data_gen.frames import FrameRecipe
from data_gen.frames.video_files import find_videos
from data_gen.teacher import TeacherJob, TeacherSettings
from data_gen.teacher.stage import teach, trajectory_journal
from evaluation.evaluate import EvaluationStopped
from evaluation.policies.endpoint import EndpointPolicy
from evaluation.run import EndpointOptions, evaluate_corpus
from navigation import CaptionTree, InputError, Question, TimeGrid, TreeStore, read_questions, write_jsonl
from runtime import BodyOptions, Endpoint, EndpointDown, EndpointFailed, EndpointSettings, Filtered, OutOfContext
from runtime.testing.numbered_clip import write_numbered_clip
from runtime.testing.scripted_server import Raw
from tests.runtime.misbehaving_server import (
    COMPLETION,
    NOTHING,
    PROMPT,
    PROMPT_ONLY,
    Behaviour,
    MisbehavingServer,
    error,
    ok,
)

VLLM = "This model's maximum context length is 1024 tokens. However, you requested 3072 tokens. Reduce the length"
LLAMA_CPP = "the request exceeds the available context size. try increasing the context size"
SGLANG = "The input (5000 tokens) is longer than the model's context length (4096 tokens)."
OPENAI = "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens."
AZURE = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
OPENROUTER = "stub requires moderation and your input was flagged"
PAST = "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"
HTML = "Content-Type: text/html"
PAGE = b"<!doctype html><title>Welcome</title>"


def unless(condition, message, **fields):
    """400 to requests that meet the condition, an answer in order to all others."""
    return lambda exchange: (
        error(400, message, **fields)(exchange) if condition(exchange.request) else Raw(200, exchange.record)
    )


def renamed_tools(exchange):
    calls = exchange.record["choices"][0]["message"].get("tool_calls") or ()
    calls = [{**call, "function": {**call["function"], "name": f" {call['function']['name']}\n"}} for call in calls]
    return exchange.with_message(tool_calls=calls) if calls else exchange.record


def broken_arguments(exchange):
    """A call whose arguments are no JSON; a history that holds such a call is refused, as vLLM does."""
    sent = [call for message in exchange.request["messages"] for call in message.get("tool_calls") or ()]
    for call in sent:
        try:
            json.loads(call["function"]["arguments"])
        except ValueError:
            return error(400, "Invalid JSON in tool_calls arguments")(exchange)
    if "tools" not in exchange.request or sent:
        return Raw(200, exchange.record)
    call = {"id": "call-1", "type": "function", "function": {"name": "get_caption", "arguments": '{"segment": [1'}}
    return Raw(200, exchange.with_message(tool_calls=[call]))


def signatures(exchange):
    """Calls with a signature and an id, which must come back."""
    for message in exchange.request["messages"]:
        for call in message.get("tool_calls") or ():
            if call.get("extra_content") != {"google": {"thought_signature": "abc"}} or call["id"] != "call-1":
                return error(400, "Function call is missing a thought_signature")(exchange)
        if message["role"] == "tool" and message["tool_call_id"] != "call-1":
            return error(400, "tool_call_id does not match")(exchange)
    calls = exchange.record["choices"][0]["message"].get("tool_calls") or ()
    calls = [{**call, "extra_content": {"google": {"thought_signature": "abc"}}} for call in calls]
    return Raw(200, exchange.with_message(tool_calls=calls) if calls else exchange.record)


def in_parts(exchange):
    content = exchange.record["choices"][0]["message"]["content"]
    halves = [content[: len(content) // 2], content[len(content) // 2 :]]
    return exchange.with_message(content=[{"type": "text", "text": half} for half in halves])


def streams_only(exchange):
    if not exchange.request.get("stream"):
        return error(400, "This model only supports streaming")(exchange)
    return Raw(200, exchange.streamed, ["Content-Type: text/event-stream"])


FLOATS = ok(lambda e: e.with_usage({name: float(count) for name, count in e.record["usage"].items()}))
HALF = ok(lambda e: json.dumps(e.record).encode()[:-20])
TABLE = [
    Behaviour("400 to everything", error(400, "no"), "refused", bills=NOTHING, says="HTTP 400"),
    Behaviour("401", error(401, "bad key"), "down", bills=NOTHING, says="OPENAI_API_KEY"),
    Behaviour("402", error(402, "no credit"), "down", bills=NOTHING, says="credit"),
    Behaviour("403 for the key", error(403, "no permission"), "down", bills=NOTHING, says="OPENAI_API_KEY"),
    Behaviour("403, moderated", error(403, OPENROUTER), "filtered", None, PROMPT_ONLY, True, "filtered"),
    Behaviour("404 as a page", lambda e: Raw(404, PAGE, [HTML]), "down", bills=NOTHING, says="--url"),
    Behaviour("429, quota used up", error(429, "-", code="insufficient_quota"), "down", bills=NOTHING, says="credit"),
    Behaviour("429, Retry-After: 0", error(429, "slow down", "Retry-After: 0"), times=2, bills=NOTHING),
    Behaviour("429, Retry-After in the past", error(429, "slow down", PAST), times=2, bills=NOTHING),
    Behaviour("500 twice", error(500, "-"), times=2, bills=NOTHING),
    Behaviour("503 as a page", lambda e: Raw(503, PAGE, [HTML]), times=2, bills=NOTHING),
    Behaviour("503 to everything", error(503, "-"), "refused", bills=NOTHING, says="HTTP 503"),
    Behaviour("400, context (vLLM)", error(400, VLLM), "too long", bills=NOTHING, says="out of context"),
    Behaviour("400, context (OpenAI)", error(400, OPENAI), "too long", bills=NOTHING, says="out of context"),
    Behaviour("400, context (SGLang)", error(400, SGLANG), "too long", bills=NOTHING, says="out of context"),
    Behaviour("500, context (llama.cpp)", error(500, LLAMA_CPP), "too long", bills=NOTHING, says="out of context"),
    Behaviour("400, content filter", error(400, AZURE), "filtered", None, PROMPT_ONLY, True, "filtered"),
    Behaviour("finish_reason length", ok(lambda e: e.with_message("length")), "cut", says="cut"),
    Behaviour("finish_reason content_filter", ok(lambda e: e.with_message("content_filter")), "filtered",
              says="filtered"),
    Behaviour("a refusal", ok(lambda e: e.with_message(content=None, refusal="I cannot.")), "filtered",
              says="filtered"),
    Behaviour("error in a 200", ok(lambda e: {"error": {"message": "-", "code": 502}}), times=2, bills=NOTHING),
    Behaviour("finish_reason error", ok(lambda e: e.with_message("error")), times=1),
    Behaviour("no usage", ok(lambda e: {k: v for k, v in e.record.items() if k != "usage"}), estimated=True),
    Behaviour("usage null", ok(lambda e: e.with_usage(None)), estimated=True),
    Behaviour("usage in floats", FLOATS),
    Behaviour("usage of nonsense", ok(lambda e: e.with_usage({"prompt_tokens": -1, "completion_tokens": "7"})),
              estimated=True),
    Behaviour("content in parts", ok(in_parts)),
    Behaviour("blanks around tool names", ok(renamed_tools)),
    Behaviour("arguments that are no JSON", broken_arguments),
    Behaviour("signatures wanted back", signatures),
    Behaviour("no temperature", unless(lambda r: "temperature" in r, "Unsupported value: 'temperature'"),
              bills=NOTHING),
    Behaviour("no seed", unless(lambda r: "seed" in r, "extra field seed not permitted"), bills=NOTHING),
    Behaviour("max_completion_tokens", unless(lambda r: "max_tokens" in r, "Unsupported parameter: 'max_tokens'"),
              bills=NOTHING),
    Behaviour("streams only", streams_only, body=BodyOptions(stream=True)),
    Behaviour("a stream unasked", ok(lambda e: e.streamed, "Content-Type: text/event-stream"), "down", estimated=True,
              says="--request"),
    Behaviour("a page in a 200", lambda e: Raw(200, PAGE, [HTML]), "down", bills=NOTHING, says="a web page"),
    Behaviour("half a JSON", HALF, times=1, estimated=True),
    Behaviour("dropped after the work", lambda e: Raw(None), times=1, estimated=True),
]  # fmt: skip

STATUS = {  # by consumer: what becomes of each effect
    "captions": {"passes": "complete", "down": "stopped"},
    "teacher": {"passes": "right", "filtered": "filtered", "too long": "out_of_tokens", "cut": "malformed",
                "down": "stopped"},
    "evaluation": {"passes": "answered", "filtered": "filtered", "too long": "out_of_tokens", "cut": "out_of_tokens",
                   "refused": "stopped", "down": "stopped"},
    "ask": {"passes": "answered", "filtered": "filtered", "too long": "out_of_tokens", "cut": "out_of_tokens",
            "refused": "error", "down": "error"},
    "video_qa": {"passes": "answered", "filtered": "Filtered", "too long": "OutOfContext", "cut": "EndpointFailed",
                 "refused": "EndpointFailed", "down": "EndpointDown"},
}  # fmt: skip


@dataclass
class Outcome:
    """How a consumer ended: its status, what it said of errors, what it says it has cost and how much is estimated."""

    status: str
    said: str
    usd: float
    estimated: int


@dataclass
class World:
    """One clip of 20 s, its caption tree and a question about it; `out` is a consumer's own folder."""

    shared: Path
    out: Path

    @property
    def prices(self) -> Path:
        return self.shared / "prices.yaml"

    def endpoint(self, url: str, body: BodyOptions) -> EndpointSettings:
        return EndpointSettings(
            url, "priced", 4, 4, timeout=20.0, first_wait=0.001, longest_wait=0.01, down_after=16, body=body
        )


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    (folder / "clips").mkdir()
    write_numbered_clip(folder / "clips" / "one.mp4", [100 * number for number in range(200)])
    (folder / "prices.yaml").write_text(f"models: {{priced: {{prompt: {PROMPT}, completion: {COMPLETION}}}}}")
    grid = TimeGrid(20.0, 2, 1)
    store = TreeStore(folder / "trees")
    store.save(CaptionTree("one", grid, dict.fromkeys(grid.paths(), "a person walks"), {"captioner": "hand"}))
    question = Question("q", "one", "Who walks?", ("a person", "a dog"), "A", ((0.0, 5.0),), 20.0, "hand")
    write_jsonl(folder / "questions.jsonl", [question.to_dict()])
    return folder


@pytest.fixture
def world(shared, tmp_path):
    return World(shared, tmp_path)


async def captions(world: World, settings: EndpointSettings) -> Outcome:
    recipe = FrameRecipe((1, 1, 1), (64, 64, 64))
    wanted = CaptionSettings(model="priced", recipe=recipe, minimum_width=2, depth=1)
    job = CaptionJob(world.shared / "clips", world.out / "trees", wanted, settings, prices=world.prices)
    report = await caption(job, find_videos(job.videos)[0], quiet=True)
    (video,) = report.videos
    status = "stopped" if report.stopped else "complete" if report.complete else "failed"
    assert (world.out / "trees" / "one.json").exists() == report.complete
    assert video.captioned + len(video.failed) + video.unasked == video.segments
    return Outcome(status, report.stopped + " ".join(video.failed.values()), report.usage.usd, report.usage.estimated)


async def teacher(world: World, settings: EndpointSettings) -> Outcome:
    for name in ("questions.jsonl", "trees"):
        if not (world.out / name).exists():
            (world.out / name).symlink_to(world.shared / name)
    job = TeacherJob(world.out, TeacherSettings("priced"), settings, prices=world.prices)
    report = await teach(job, list(read_questions(world.out / "questions.jsonl")), quiet=True)
    ends = list(report.terminations) or (["stopped"] if report.stopped else ["failed"])
    usage = report.usage + report.earlier
    with trajectory_journal(job, 0) as journal:
        errors = [journal[key]["error"] or "" for key in journal]
    said = report.stopped + str(report.failed) + " ".join(errors)
    return Outcome(ends[0], said, usage.usd, usage.estimated)


async def evaluation(world: World, settings: EndpointSettings) -> Outcome:
    options = EndpointOptions(settings, prices=world.prices)
    folder, said = world.out / "eval", ""
    arguments = (world.shared / "questions.jsonl", world.shared / "trees", "endpoint", folder)
    try:
        summary = await asyncio.to_thread(evaluate_corpus, *arguments, endpoint=options)
        scores = summary["policies"]["endpoint"]
        (status,) = (name for name, count in scores["statuses"].items() if count)
        usage = summary["requests"]
        assert scores["n"] == 1
    except EvaluationStopped as stopped:
        status, said = "stopped", str(stopped)
        assert not (folder / "summary.json").exists()
        assert (folder / "trajectories.jsonl").read_bytes() == b""
        usage = last_usage(folder / "calls.jsonl")
    told = [json.loads(line)["error"] or "" for line in (folder / "trajectories.jsonl").read_text().splitlines()]
    return Outcome(status, said + " ".join(told), usage.get("usd", 0.0), usage.get("estimated", 0))


def last_usage(path: Path) -> dict[str, Any]:
    """The sum of a journal of paid calls, a record a key."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    records = {row["key"]: row["value"]["usage"] for row in rows if "usage" in (row.get("value") or {})}
    return {name: sum(usage.get(name, 0) for usage in records.values()) for name in ("usd", "estimated")}


async def ask_once(world: World, settings: EndpointSettings) -> Outcome:
    parts = AskSettings(prices=world.prices)
    calls = LiveCalls(parts.endpoint(settings))
    policy = EndpointPolicy(calls)
    async with calls.endpoint, await open_source(world.shared / "trees" / "one.json", parts) as source:
        try:
            answer = await ask(source, policy, make_question(source, "Who?", ["a person", "a dog"]), lambda event: None)
            status, said = answer.status, answer.error or ""
        except InputError as failure:
            status, said = "error", str(failure)
    return Outcome(status, said, calls.usage.usd, calls.usage.estimated)


async def video_qa(world: World, settings: EndpointSettings) -> Outcome:
    service = ClipService(world.shared / "clips", settings, prices=world.prices)
    tree = TreeStore(world.shared / "trees")["one"]
    try:
        said = await asyncio.to_thread(service.answer, tree, (1,), "Who?")
        status = "answered"
    except (EndpointFailed, EndpointDown) as failure:
        status, said = type(failure).__name__, str(failure)
    return Outcome(status, said, service.usage.usd, service.usage.estimated)


CONSUMERS = {"captions": captions, "teacher": teacher, "evaluation": evaluation, "ask": ask_once, "video_qa": video_qa}
FAST = ("evaluation",)
CASES = [
    pytest.param(behaviour, name, id=f"{behaviour.name}-{name}", marks=[] if name in FAST else [pytest.mark.slow])
    for behaviour in TABLE
    for name in CONSUMERS
]


@pytest.mark.parametrize(("behaviour", "consumer"), CASES)
async def test_a_misbehaving_server(behaviour, consumer, world):
    with MisbehavingServer(behaviour) as server:
        settings = world.endpoint(server.url, behaviour.body)
        outcome = await CONSUMERS[consumer](world, settings)
        status = STATUS[consumer].get(behaviour.effect, "failed")
        assert outcome.status == status, outcome
        if behaviour.effect != "passes" and not (
            behaviour.effect == "cut" and consumer in ("teacher", "evaluation", "ask")
        ):
            assert behaviour.says in outcome.said
            assert server.url in outcome.said, "the address"
        assert (outcome.estimated > 0) == behaviour.estimated
        check_bill(outcome.usd, server.bill, at_least=behaviour.estimated and behaviour.effect != "filtered")
        if consumer in ("ask", "video_qa"):
            return
        # Run again on the same folder: what was answered is not asked, and what was not is asked once.
        asked, billed = len(server.requests), server.bill
        again = await CONSUMERS[consumer](world, settings)
        finished = behaviour.effect == "passes" or (
            consumer != "captions" and behaviour.effect in ("filtered", "too long", "cut")
        )
        if finished:
            assert (len(server.requests), server.bill) == (asked, billed)
            assert again.status == status or consumer == "teacher"
            return
        server.behaviour = None
        last = await CONSUMERS[consumer](world, settings)
        assert last.status == STATUS[consumer]["passes"]
        check_bill(last.usd, server.bill, at_least=behaviour.estimated and behaviour.effect != "filtered")


def check_bill(told: float, billed: float, at_least: bool) -> None:
    """Equal to the cent; a reply that was lost is reckoned with all that it could have cost."""
    if at_least:
        assert told >= billed - 0.005
    else:
        assert told == pytest.approx(billed, abs=0.005)


def test_the_errors_of_a_row_are_of_their_classes():
    assert issubclass(Filtered, EndpointFailed)
    assert issubclass(OutOfContext, EndpointFailed)


async def test_a_probe_names_what_a_server_refuses():
    strict = Behaviour(
        "strict",
        unless(lambda r: {"temperature", "seed", "max_tokens"} & set(r), "temperature, seed, max_tokens: unknown"),
    )
    with MisbehavingServer(strict) as server:
        async with Endpoint(EndpointSettings(server.url, "m")) as endpoint:
            notes = await endpoint.probe(temperature=0.0, seed=1)
    assert [note.split("`")[1] for note in notes] == ["max_tokens", "temperature", "seed"]
    assert all(server.url in note and "--request" in note for note in notes)
    assert set(server.requests[-1]) == {"model", "messages", "max_completion_tokens"}
