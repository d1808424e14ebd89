import asyncio
import base64
import contextlib
import logging
from dataclasses import replace

import pytest

from navigation import InputError
from runtime import Budget, Endpoint, EndpointDown, EndpointFailed, EndpointSettings, Unacceptable
from runtime.endpoint import label_of
from runtime.request_body import RequestBody
from runtime.testing.scripted_server import Raw, ScriptedServer

GOOD = {"choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2}}  # fmt: skip


class Script:
    """Prepared replies in turn: (status, headers, body), or `hang` or `drop`."""

    def __init__(self, *replies):
        self.replies, self.requests, self.at_once, self.most_at_once = list(replies), [], 0, 0

    async def __call__(self, request):
        assert (request.method, request.path) == ("POST", "/v1/chat/completions")
        self.requests.append((request.headers, request.json()))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        await asyncio.sleep(5 if reply == "hang" else 0.01)
        self.at_once -= 1
        if reply in ("hang", "drop"):
            return Raw(None)
        status, headers, content = reply
        return Raw(status, content, headers)


@pytest.fixture
async def scripted():
    async with contextlib.AsyncExitStack() as stack:

        async def start(*replies, **options):
            script = Script(*replies)
            server = await stack.enter_async_context(ScriptedServer(script))
            patience = {"first_wait": 0.001, "longest_wait": 2.0, "attempts": 4, **options}
            return script, EndpointSettings(server.url, "stub", **patience)

        yield start


ASK = [{"role": "user", "content": "?"}]


@pytest.mark.parametrize(
    "bad",
    [
        (500, [], {}), (503, [], b"<html>"), (429, ["Retry-After: 0"], {}), (408, [], {}), "drop", "hang",
        (200, [], b'{"choices": [{"mess'), (200, [], b"[1]"), (200, [], {"choices": []}), (200, [], {"choices": None}),
        (200, [], {"choices": [{"message": {"content": 5}}]}),
    ],
    ids=["500", "503", "429", "408", "disconnect", "timeout", "half JSON", "a list", "no choice", "null", "no text"],
)  # fmt: skip
async def test_what_may_pass_is_asked_again(scripted, bad):
    script, settings = await scripted(bad, bad, (200, [], GOOD), timeout=1.0 if bad == "hang" else 60.0)
    async with Endpoint(settings) as endpoint:
        completion = await endpoint.chat(ASK, max_tokens=5, temperature=0.5)
    assert completion.text == "yes"
    assert completion.attempts == len(script.requests) == completion.usage.requests == 3
    assert completion.usage.prompt_tokens == 10
    assert script.requests[0][1] == {"model": "stub", "messages": ASK, "max_tokens": 5, "temperature": 0.5}
    assert script.requests[2][1] == script.requests[0][1]


async def test_attempts_end_with_the_last_reason(scripted):
    script, settings = await scripted((500, [], {"error": {"message": "out of memory"}}), attempts=3)
    async with Endpoint(settings) as endpoint:
        with pytest.raises(EndpointFailed) as caught:
            await endpoint.chat(ASK, max_tokens=5)
        assert caught.value.reason.startswith("HTTP 500: out of memory")
    assert len(script.requests) == caught.value.attempts == caught.value.usage.unanswered == 3


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_request_that_cannot_pass_is_asked_once(scripted, status):
    script, settings = await scripted((status, [], {"error": {"message": "too long"}}))
    async with Endpoint(settings) as endpoint:
        with pytest.raises(EndpointFailed) as error:
            await endpoint.chat(ASK, max_tokens=5)
        assert error.value.label == f"HTTP {status}"
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [401, 402, 404])
async def test_a_refused_key_or_model_ends_everything(scripted, status):
    script, settings = await scripted((status, [], {"error": {"message": "no"}}))
    async with Endpoint(settings) as endpoint:
        for _ in range(2):
            with pytest.raises(EndpointDown) as error:
                await endpoint.chat(ASK, max_tokens=5)
            assert label_of(str(error.value)) == f"HTTP {status}"
    assert len(script.requests) == 1


async def test_a_used_up_quota_is_no_rate_limit(scripted):
    quota = {"error": {"message": "quota", "code": "insufficient_quota"}}
    script, settings = await scripted((429, [], quota))
    async with Endpoint(settings) as endpoint:
        with pytest.raises(EndpointDown):
            await endpoint.chat(ASK, max_tokens=5)
    assert len(script.requests) == 1


async def test_a_rate_limit_holds_all_requests_back_for_as_long_as_it_says(scripted):
    script, settings = await scripted((429, ["Retry-After: 0.4"], {}), (200, [], GOOD))
    clock = asyncio.get_running_loop().time
    async with Endpoint(settings) as endpoint:
        first = asyncio.create_task(endpoint.chat(ASK, max_tokens=5))
        while len(script.requests) < 1 or script.at_once:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        begun = clock()
        await endpoint.chat(ASK, max_tokens=5)
        assert clock() - begun > 0.25
        await first


async def test_an_unacceptable_reply_is_asked_again_and_paid(scripted):
    empty = {**GOOD, "choices": [{"message": {"content": " "}}]}
    _, settings = await scripted((200, [], empty), (200, [], GOOD))

    def accept(completion):
        if not completion.text:
            raise Unacceptable("empty")

    async with Endpoint(settings) as endpoint:
        completion = await endpoint.chat(ASK, max_tokens=5, accept=accept)
    assert completion.usage.completion_tokens == 4
    assert completion.usage.usd == pytest.approx(2 * (10 * 0.5 + 2 * 2.0) / 1e6)
    assert endpoint.budget.spent == pytest.approx(completion.usage.usd)


async def test_no_more_requests_at_once_than_allowed(scripted):
    script, settings = await scripted((200, [], GOOD), in_flight=3)
    async with Endpoint(settings) as endpoint:
        await asyncio.gather(*(endpoint.chat(ASK, max_tokens=5) for _ in range(20)))
    assert script.most_at_once == 3


async def test_failures_in_a_row_count_as_down(scripted):
    script, settings = await scripted((500, [], {}), attempts=1, down_after=3)
    async with Endpoint(settings) as endpoint:
        for _ in range(3):
            with pytest.raises(EndpointFailed):
                await endpoint.chat(ASK, max_tokens=5)
        with pytest.raises(EndpointDown) as error:
            await endpoint.chat(ASK, max_tokens=5)
    assert "HTTP 500" in str(error.value)
    assert len(script.requests) == 3


async def test_the_key_is_sent_and_never_told(scripted, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1234")
    caplog.set_level(logging.DEBUG)
    script, settings = await scripted((400, [], {"error": {"message": "bad key sk-secret-1234"}}))
    async with Endpoint(settings) as endpoint:
        with pytest.raises(EndpointFailed) as caught:
            await endpoint.chat(ASK, max_tokens=5)
    assert script.requests[0][0]["authorization"] == "Bearer sk-secret-1234"
    assert "sk-secret" not in str(caught.value)
    assert "Bearer sk-secret" not in caplog.text


async def test_images_arrive_as_data_urls(scripted):
    script, settings = await scripted((500, [], {}), (200, [], GOOD))
    jpegs = [bytes(range(256)) * 700, b"", b"ab"]
    content = [{"type": "text", "text": 'ü "q" jpeg-0'}] + [
        {"type": "image_url", "image_url": {"url": jpeg}} for jpeg in jpegs
    ]
    async with Endpoint(settings) as endpoint:
        completion = await endpoint.chat([{"role": "user", "content": content}], max_tokens=5)
    assert completion.usage.images == 3
    parts = script.requests[1][1]["messages"][0]["content"]
    assert parts[0] == content[0]
    for jpeg, part in zip(jpegs, parts[1:], strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/jpeg;base64"
        assert base64.b64decode(data, validate=True) == jpeg


async def test_body_length_is_what_is_sent():
    body = RequestBody({"a": b"12345", "b": ["ü", {"c": b"x" * 100_000}], "lone": "\ud800"})
    assert len(body) == len(b"".join([piece async for piece in body.stream()]))


def test_a_limit_without_a_price_is_refused():
    with pytest.raises(InputError) as error:
        Endpoint(EndpointSettings("http://localhost", "nobody-knows"), budget=Budget(1.0))
    assert (error.value.field, error.value.value) == ("model", "nobody-knows")


@pytest.mark.parametrize(
    ("url", "value"), [("localhost:8000", "localhost:8000"), ("http://key@host/v1", "host"), ("", "")]
)
def test_bad_addresses_are_refused(url, value):
    with pytest.raises(InputError) as error:
        EndpointSettings(url, "m")
    assert (error.value.field, error.value.value) == ("url", value)


def test_a_bare_address_gains_the_version():
    assert EndpointSettings("http://h:1", "m").base_url == "http://h:1/v1"
    assert EndpointSettings("http://h:1/api/v3/", "m").base_url == "http://h:1/api/v3"


async def test_a_reply_that_drips_is_given_up():
    async def drops():
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    async def drip(request):
        return Raw(200, drops(), ["Content-Length: 100000"])

    async with (
        ScriptedServer(drip) as server,
        Endpoint(EndpointSettings(server.url, "stub", attempts=1, timeout=0.2)) as endpoint,
    ):
        with pytest.raises(EndpointFailed) as error:
            await endpoint.chat(ASK, max_tokens=5)
        assert error.value.label.startswith("no complete reply within 0.2 s")


async def test_a_dropped_connection_is_told_as_one_and_not_as_a_timeout(scripted):
    _, settings = await scripted("drop", attempts=2)
    async with Endpoint(settings) as endpoint:
        with pytest.raises(EndpointFailed) as error:
            await endpoint.chat([{"role": "user", "content": "?"}], 10)
        assert error.value.label == "connection failed"


async def test_a_proxy_of_the_environment_is_asked_and_one_that_cannot_be_used_is_refused(scripted, monkeypatch):
    heard = []

    async def proxy(request):
        heard.append((request.method, request.path))
        return Raw(None)

    monkeypatch.setenv("no_proxy", "localhost")
    async with ScriptedServer(proxy) as server:
        monkeypatch.setenv("http_proxy", server.url)
        async with Endpoint(EndpointSettings("http://model.invalid/v1", "stub", attempts=1)) as endpoint:
            with pytest.raises(EndpointFailed) as error:
                await endpoint.chat(ASK, max_tokens=5)
            assert error.value.label == "connection failed"
    assert heard == [("POST", "http://model.invalid/v1/chat/completions")]
    script, settings = await scripted((200, [], GOOD))
    async with Endpoint(replace(settings, url=settings.url.replace("127.0.0.1", "localhost"))) as endpoint:
        await endpoint.chat(ASK, max_tokens=5)
    assert len(script.requests) == 1
    monkeypatch.setenv("http_proxy", "socks5://user:word@127.0.0.1:9")  # pragma: allowlist secret
    with pytest.raises(InputError) as caught:
        Endpoint(EndpointSettings("http://model.invalid/v1", "stub"))
    assert caught.value.field == "proxy"
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("status", [307, 308])
async def test_a_moved_endpoint_is_followed(scripted, status):
    script, settings = await scripted((200, [], GOOD))
    _, moved = await scripted((status, [f"Location: {settings.url}/v1/chat/completions"], b""))
    async with Endpoint(moved) as endpoint:
        assert (await endpoint.chat(ASK, max_tokens=5)).text == "yes"
    assert script.requests[0][1]["messages"] == ASK
