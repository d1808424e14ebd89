"""What stands before every page, and the server that binds it to an address."""

import asyncio
import ipaddress
import json
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import uvicorn

from navigation import InputError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_COMMON = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
POLICY_WITHOUT_SCRIPT = _COMMON
POLICY_WITH_KEYS = f"{_COMMON}; script-src 'self'"
POLICY_WITH_SCRIPT = f"{POLICY_WITH_KEYS}; connect-src 'self'"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server takes on.

    Args:
        body_bytes: Of a request's body.
        body_seconds: Until a body must have come in whole.
        requests: Answered at once, streams included; more get 503.
    """

    body_bytes: int = 1_000_000
    body_seconds: float = 20.0
    requests: int = 256


class Guard:
    """ASGI middleware.

    Args:
        app: The application behind it.
        limits: Its limits.
        policy: Content-Security-Policy of every reply.
        hosts: Names the server may be called by; None allows all. Kept to loopback names for a server on loopback, so
            that a page of another site cannot reach it under a name that it points there.
    """

    def __init__(
        self,
        app: App,
        limits: Limits | None = None,
        policy: str = POLICY_WITHOUT_SCRIPT,
        hosts: tuple[str, ...] | None = LOOPBACK,
    ) -> None:
        self.app, self.limits, self.hosts = app, limits or Limits(), hosts
        self.requests = 0
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        headers = dict(scope["headers"])
        if self.hosts is not None and _host(headers) not in self.hosts:
            await _refuse(guarded, 421, "this server is not called by that name")
            return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.limits.body_bytes:
            await _refuse(guarded, 413, f"the body may have {self.limits.body_bytes} bytes")
            return
        if self.requests >= self.limits.requests:
            await _refuse(guarded, 503, "too many requests at once; try again in a moment", retry=True)
            return
        self.requests += 1
        try:
            await self._with_body(scope, receive, guarded)
        finally:
            self.requests -= 1

    async def _with_body(self, scope: Message, receive: Receive, send: Send) -> None:
        """Reads the whole body first, within its limits, and gives it on as one piece."""
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self.limits.body_bytes:
                        await _refuse(send, 413, f"the body may have {self.limits.body_bytes} bytes")
                        return
        except TimeoutError:
            await _refuse(send, 408, f"the body did not come in within {self.limits.body_seconds:g} s")
            return
        given = False

        async def whole() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, whole, send)


def _host(headers: dict[bytes, bytes]) -> str:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return host if host.endswith("]") else host.rpartition(":")[0] or host


async def _refuse(send: Send, status: int, reason: str, retry: bool = False) -> None:
    body = json.dumps({"error": {"message": reason, "type": "invalid_request_error", "code": status}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"retry-after", b"1")] if retry else [(b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str) -> tuple[str, ...] | None:
    """Names a server bound to `host` may be called by: loopback names only on loopback, any elsewhere."""
    return LOOPBACK if is_loopback(host) else None


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InputError: the address is in use or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
    except OSError as error:
        listener.close()
        hint = "give another --port, 0 takes a free one" if error.errno == 98 else "give an address of this machine"
        raise InputError("server", "address", f"{host}:{port}", f"{error.strerror}: {hint}") from None
    return listener


def run_app(app: App, host: str, port: int, what: str) -> None:
    """Serves until interrupted; says where on standard error."""
    listener = bind(host, port)
    shown_host = f"[{host.strip('[]')}]" if ":" in host else host
    print(f"{what} at http://{shown_host}:{listener.getsockname()[1]}/  (Ctrl-C ends it)", file=sys.stderr, flush=True)
    if not is_loopback(host):
        print("warning: everyone who reaches this address can use it; there is no login", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=2,
        lifespan="on",
        h11_max_incomplete_event_size=32_768,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
