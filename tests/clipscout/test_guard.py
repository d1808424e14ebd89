"""What stands before every page: names, sizes, times and numbers."""

import asyncio
import socket

import httpx
import pytest

from clipscout.web.server import Guard, Limits, allowed_hosts, bind, is_loopback
from navigation import InputError


async def echo(scope, receive, send):
    """Answers with the length of the body; waits for `scope["app_gate"]` where there is one."""
    message = await receive()
    if (gate := scope.get("state", {}).get("gate")) is not None:
        await gate.wait()
    body = str(len(message["body"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


def client_of(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_a_body_within_the_limit_comes_through_whole():
    async with client_of(Guard(echo, Limits(body_bytes=1000))) as client:
        assert (await client.post("/", content=b"x" * 1000)).text == "1000"


async def test_a_body_over_the_limit_is_refused_by_its_length():
    async with client_of(Guard(echo, Limits(body_bytes=1000))) as client:
        assert (await client.post("/", content=b"x" * 1001)).status_code == 413


async def test_a_body_over_the_limit_is_refused_when_it_does_not_tell_its_length():
    async def pieces():
        for _ in range(11):
            yield b"x" * 100

    async with client_of(Guard(echo, Limits(body_bytes=1000))) as client:
        assert (await client.post("/", content=pieces())).status_code == 413


@pytest.mark.parametrize("length", ["-1", "many", "1e3", ""])
async def test_a_length_that_is_none_is_refused(length):
    status = await status_of({"content-length": length})
    assert status == 413


async def status_of(headers, receive=None):
    sent = []

    async def nothing():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in ({"host": "localhost"} | headers).items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": raw}
    await Guard(echo, Limits(body_seconds=0.05))(scope, receive or nothing, send)
    return sent[0]["status"] if sent else None


async def test_a_body_that_does_not_come_is_given_up():
    async def never():
        await asyncio.Event().wait()

    assert await status_of({}, never) == 408


async def test_a_client_that_leaves_while_sending_is_no_error():
    async def left():
        return {"type": "http.disconnect"}

    assert await status_of({}, left) is None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200), ("localhost", 200), ("[::1]:80", 200), ("LOCALHOST:1", 200), ("evil.example", 421),
        ("127.0.0.1.evil.example", 421), ("localhost.", 421), ("", 421), ("evil.example:127.0.0.1", 421),
    ],
)  # fmt: skip
async def test_only_loopback_names_are_answered(host, status):
    assert await status_of({"host": host}) == status


async def test_more_requests_than_allowed_get_503_and_the_rest_is_served():
    gate = asyncio.Event()

    async def gated(scope, receive, send):
        await echo({**scope, "state": {"gate": gate}}, receive, send)

    guard = Guard(gated, Limits(requests=3))
    async with client_of(guard) as client:
        waiting = [asyncio.ensure_future(client.get("/")) for _ in range(3)]
        while guard.requests < 3:
            await asyncio.sleep(0)
        refused = await client.get("/")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        gate.set()
        assert [reply.status_code for reply in await asyncio.gather(*waiting)] == [200] * 3
        assert (await client.get("/")).status_code == 200


async def test_every_reply_carries_the_policy_refusals_too():
    async with client_of(Guard(echo, Limits(body_bytes=1))) as client:
        for reply in (await client.get("/"), await client.post("/", content=b"xx")):
            policy = reply.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.0.2.1", False), ("example.org", False)],
)  # fmt: skip
def test_what_counts_as_loopback(host, loopback):
    assert is_loopback(host) is loopback
    assert (allowed_hosts(host) is not None) is loopback


def test_a_port_in_use_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError) as error:
            bind("127.0.0.1", taken.getsockname()[1])
        assert (error.value.field, error.value.value) == ("address", f"127.0.0.1:{taken.getsockname()[1]}")


def test_commands_bind_to_loopback_unless_told():
    import inspect

    from clipscout.main import serve, view

    assert all(inspect.signature(command).parameters["host"].default == "127.0.0.1" for command in (serve, view))
    with bind("127.0.0.1", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
