"""A scripted HTTP server on a loopback port: what it answers is a function of the request."""

import asyncio
import json
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` is as the client wrote it, query included; names of `headers` are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Raw:
    """A reply as it goes over the wire, whatever it is.

    Args:
        status: None sends `content` alone and closes the connection: no bytes are no word at all.
        content: Bytes, pieces of bytes, or what is sent as JSON.
        headers: Lines; one of `Content-Type` replaces that of JSON. After one of `Content-Length`, true or not, the
            connection is closed.
        hang: Seconds before it.
    """

    status: int | None
    content: Any = b""
    headers: Sequence[str] = ()
    hang: float = 0.0


Script = Callable[[Request], Awaitable[Raw]]


class ScriptedServer:
    """Serves in the event loop that starts it, or, as a context manager, from a thread of its own.

    Args:
        script: Answers requests.
    """

    base = ""
    """What of an address is every path's beginning."""

    def __init__(self, script: Script) -> None:
        self.respond = script
        self.url = ""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> str:
        """Binds to loopback; returns the base address for clients."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=1 << 20)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self.base}"
        return self.url

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the thread, as leaving the context does; a second time does nothing."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (request := await _read_request(reader)) and await _send(writer, await self.respond(request)):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Clients that die are what this server is there to be tried with; cancelled is closed.
            return
        finally:
            self._connections.discard(task)
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers = {}
    while (header := (await reader.readline()).strip()) != b"":
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def _send(writer: asyncio.StreamWriter, reply: Raw) -> bool:
    """Whether the connection stays open."""
    await asyncio.sleep(reply.hang)
    content = reply.content
    if not isinstance(content, (bytes, AsyncIterable)):
        content = json.dumps(content).encode()
    names = {header.partition(":")[0].lower() for header in reply.headers}
    if reply.status is not None:
        head = [f"HTTP/1.1 {reply.status} -", *reply.headers]
        if "content-length" not in names:
            head.append(f"Content-Length: {len(content)}")
        if "content-type" not in names:
            head.append("Content-Type: application/json")
        writer.write("\r\n".join([*head, "", ""]).encode())
    if isinstance(content, bytes):
        writer.write(content)
        await writer.drain()
    else:
        async for piece in content:
            writer.write(piece)
            await writer.drain()
    return reply.status is not None and "content-length" not in names
