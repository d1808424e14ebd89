"""Episodes a second that one server answers to many clients at once, beside the same episodes without a server.

    python -m benchmarks.serve [--clients 64] [--episodes 512]

One tree of the published shape, the rule `descent`, server and clients on loopback in two processes. A share of the
clients (`--leaving`) goes away in the middle of its stream; the server must end with no episode under way.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx

from benchmarks.measure import show
from benchmarks.navigation import make_tree
from clipscout.ask.policies import DescentPolicy
from clipscout.ask.session import ask, make_question
from clipscout.ask.settings import AskSettings
from clipscout.ask.video_source import open_source
from navigation import TimeGrid, TreeStore

QUESTION, OPTIONS = "who opens the door of the red car?", ["a man", "two children", "a dog"]


async def without_server(path: Path, episodes: int) -> float:
    """Seconds for the episodes, one after another."""
    async with await open_source(path, AskSettings()) as source:
        begun = time.perf_counter()
        for _ in range(episodes):
            await ask(source, DescentPolicy(), make_question(source, QUESTION, OPTIONS), lambda event: None)
        return time.perf_counter() - begun


async def load(url: str, clients: int, episodes: int, leaving: float) -> tuple[float, list[float], int, int]:
    """Seconds in all, seconds an episode, how many left, how many were refused and asked again."""
    body = {"video": "video", "question": QUESTION, "options": OPTIONS}
    waiting, times, left, refused = list(range(episodes)), [], 0, 0

    async def one(client: httpx.AsyncClient) -> None:
        nonlocal left, refused
        while waiting:
            number = waiting.pop()
            begun = time.perf_counter()
            async with client.stream("POST", f"{url}/api/ask", json=body) as reply:
                if reply.status_code == 503:
                    refused += 1
                    waiting.append(number)
                    await asyncio.sleep(0.05)
                    continue
                lines = reply.aiter_lines()
                if number < leaving * episodes:
                    await anext(lines)
                    left += 1
                    continue
                last = [line async for line in lines if line.startswith("data: ")][-1]
                assert json.loads(last[6:])["type"] == "answer", last
                times.append(time.perf_counter() - begun)

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(timeout=300, limits=limits) as client:
        begun = time.perf_counter()
        await asyncio.gather(*(one(client) for _ in range(clients)))
        seconds = time.perf_counter() - begun
        while (await client.get(f"{url}/healthz")).json()["navigating"]:
            await asyncio.sleep(0.05)
    return seconds, times, left, refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=512)
    parser.add_argument("--leaving", type=float, default=0.25, help="share of clients that leave mid-stream")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = TreeStore(folder)
        store.save(make_tree("video", TimeGrid.for_duration(5400.0), 60))
        alone = asyncio.run(without_server(store.path("video"), options.episodes // 4)) * 4
        command = [sys.executable, "-m", "clipscout.main", "serve", folder, "--port", "0"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        try:
            url = next(line.split()[2].rstrip("/") for line in server.stderr if line.startswith("ask at "))
            seconds, times, left, refused = asyncio.run(load(url, options.clients, options.episodes, options.leaving))
        finally:
            server.terminate()
            server.wait()
    rows = (
        ("episodes a second, without a server, one at a time", f"{options.episodes / alone:.0f}"),
        ("episodes a second, served", f"{options.episodes / seconds:.0f}"),
        ("seconds an episode, median and 95 %", f"{median(times):.2f}, {quantiles(times, n=20)[-1]:.2f}"),
        ("answered, left mid-stream, refused and asked again", f"{len(times)}, {left}, {refused}"),
        ("episodes under way in the end", "0"),
    )
    show(f"{options.episodes} episodes by {options.clients} clients at once", ("what", "value"), rows)


if __name__ == "__main__":
    main()
