"""A stand-in for a vision model: an OpenAI-compatible server that answers from the pixels it received.

It understands nothing. It says how many frames came, how large they were and which colours they had, so that a run
can be tried, tested and measured without a model:

    python -m data_gen.captions.stub --port 8099 --latency 0.1 --faults 0.1

Equal requests get equal captions. `GET /stats` tells what it was asked.
"""

import argparse
import asyncio
import base64
import hashlib
import io
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence

from PIL import Image

FAULTS = ("500", "429", "timeout", "disconnect", "malformed", "empty")
PATCH = 28
"""Side of the square of pixels that counts as one image token, as in Qwen2.5-VL."""


class StubServer:
    """Serves `POST …/chat/completions`, `GET …/models` and `GET /stats` on a loopback port.

    Args:
        latency: Seconds from a request's last byte to its reply.
        faults: Share of requests that get one of `FAULTS` instead, drawn with `seed`.
        hang: Seconds a `timeout` fault holds the connection before closing it; a client's timeout should be below.
        kinds: Which faults.
        look: Frames of a request whose pixels are read; the others are counted only.
    """

    def __init__(
        self,
        latency: float = 0.0,
        faults: float = 0.0,
        hang: float = 5.0,
        kinds: Sequence[str] = FAULTS,
        seed: int = 0,
        look: int = 1000,
    ) -> None:
        self.latency, self.faults, self.hang, self.kinds, self.look = latency, faults, hang, tuple(kinds), look
        self._chance = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task] = set()
        self.in_flight = 0
        self.stats: dict = {"requests": 0, "answered": 0, "most_in_flight": 0, "images": 0, "faults": Counter()}
        self.log: list[dict] = []

    async def start(self, port: int = 0) -> str:
        """Binds to loopback; returns the base address for clients."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=1 << 20)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            while request := await _read_request(reader):
                method, path, body = request
                reply = await (self._chat(body) if method == "POST" else self._get(path))
                if reply is None:
                    break
                status, headers, content = reply
                head = [f"HTTP/1.1 {status} -", "Content-Type: application/json", f"Content-Length: {len(content)}"]
                writer.write("\r\n".join([*head, *headers, "", ""]).encode() + content)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Clients that die are what this server is there to be tried with; cancelled is closed.
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def _get(self, path: str) -> tuple[int, list[str], bytes]:
        if path.endswith("/stats"):
            return 200, [], json.dumps({**self.stats, "log": self.log}).encode()
        return 200, [], json.dumps({"object": "list", "data": [{"id": "stub", "object": "model"}]}).encode()

    async def _chat(self, body: bytes) -> tuple[int, list[str], bytes] | None:
        self.stats["requests"] += 1
        self.in_flight += 1
        self.stats["most_in_flight"] = max(self.stats["most_in_flight"], self.in_flight)
        entry = {"sha256": hashlib.sha256(body).hexdigest()[:16], "outcome": "open"}
        self.log.append(entry)
        try:
            fault = self._chance.choice(self.kinds) if self._chance.random() < self.faults else ""
            if fault:
                self.stats["faults"][fault] += 1
            texts, images = _contents(json.loads(body))
            entry["texts"] = "\n".join(texts)
            caption = describe(texts, images, self.look)
            del body
            await asyncio.sleep(self.hang if fault == "timeout" else self.latency)
            entry["outcome"] = fault or "answered"
            if fault in ("timeout", "disconnect"):
                return None
            if fault in ("500", "429"):
                return (
                    int(fault),
                    ["Retry-After: 0.05"],
                    json.dumps({"error": {"message": f"injected {fault}"}}).encode(),
                )
            if fault == "malformed":
                return 200, [], b'{"choices": [{"message": {"content": "half a'
            self.stats["answered"] += not fault
            self.stats["images"] += len(images)
            return 200, [], json.dumps(_completion("" if fault == "empty" else caption, texts, images)).encode()
        finally:
            self.in_flight -= 1


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes] | None:
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    length = 0
    while (header := (await reader.readline()).strip()) != b"":
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return method, path, await reader.readexactly(length)


def _contents(request: dict) -> tuple[list[str], list[bytes]]:
    """Texts and JPEGs of all messages."""
    texts, images = [], []
    for message in request["messages"]:
        parts = message["content"]
        for part in [{"type": "text", "text": parts}] if isinstance(parts, str) else parts:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                images.append(base64.b64decode(part["image_url"]["url"].partition(",")[2], validate=True))
    return texts, images


def describe(texts: list[str], images: list[bytes], look: int = 1000) -> str:
    """A caption that any change of the request's frames or texts changes."""
    mark = hashlib.sha256("\0".join(texts).encode() + b"".join(images)).hexdigest()[:8]
    if not images:
        words = sum(len(text.split()) for text in texts)
        return f"Stub caption {mark} from a prompt of {words} words and no frames."
    sizes = Counter(Image.open(io.BytesIO(image)).size for image in images)
    shown = ", ".join(f"{count} of {width}x{height}" for (width, height), count in sorted(sizes.items()))
    colours = [_mean_colour(image) for image in images[:look]]
    ends = f" First and last frame have the mean colours {colours[0]} and {colours[-1]}." if colours else ""
    return f"Stub caption {mark} from pixels, not from understanding: {len(images)} frames, {shown}.{ends}"


def _mean_colour(jpeg: bytes) -> str:
    image = Image.open(io.BytesIO(jpeg))
    image.draft("RGB", (32, 32))
    red, green, blue = image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _completion(caption: str, texts: list[str], images: list[bytes]) -> dict:
    image_tokens = 0
    for image in images:
        width, height = Image.open(io.BytesIO(image)).size
        image_tokens += -(-width // PATCH) * -(-height // PATCH)
    prompt = image_tokens + sum(len(text) for text in texts) // 4
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": len(caption) // 4,
        "total_tokens": prompt + len(caption) // 4,
    }
    usage["prompt_tokens_details"] = {"image_tokens": image_tokens}
    message = {"role": "assistant", "content": caption}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "stub", "object": "chat.completion", "model": "stub", "choices": [choice], "usage": usage}


async def _serve(options: argparse.Namespace) -> None:
    server = StubServer(options.latency, options.faults, options.hang, seed=options.seed, look=options.look)
    address = await server.start(options.port)
    print(f"stub at {address}: answers from pixels, not from understanding", flush=True)
    await asyncio.Event().wait()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds a reply takes")
    parser.add_argument(
        "--faults", type=float, default=0.0, help="share of requests that fail, each in one of six ways"
    )
    parser.add_argument("--hang", type=float, default=5.0, help="seconds a timeout fault lasts; give clients less")
    parser.add_argument("--look", type=int, default=1000, help="frames of a request whose pixels are read")
    parser.add_argument("--seed", type=int, default=0)
    try:
        asyncio.run(_serve(parser.parse_args(arguments)))
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
