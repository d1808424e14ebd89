"""launch/proxy.sh under a real nginx before two servers, and launch/wait_for_server.sh."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from runtime.testing.caption_server import CaptionServer

ROOT = Path(__file__).parents[2]
BODY = {"model": "stub", "messages": [{"role": "user", "content": "What is seen?"}], "max_tokens": 8}
needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") or Path("/usr/sbin/nginx").is_file()), reason="apt-get install nginx-light"
)
needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="apt-get install curl")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
async def proxy(tmp_path):
    """Starts the proxy before addresses; gives its address."""
    running = []

    async def start(*addresses):
        port = free_port()
        behind = [address.removeprefix("http://").removesuffix("/v1") for address in addresses]
        environment = {**os.environ, "PROXY_FOLDER": str(tmp_path / "proxy")}
        command = ["bash", str(ROOT / "launch" / "proxy.sh"), str(port), *behind]
        running.append(subprocess.Popen(command, env=environment))
        async with httpx.AsyncClient() as client:
            while True:
                try:
                    await client.get(f"http://127.0.0.1:{port}/v1/models")
                    return f"http://127.0.0.1:{port}/v1"
                except httpx.ConnectError:
                    assert running[-1].poll() is None
                    await asyncio.sleep(0.02)

    yield start
    for process in running:
        process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(process.wait)


async def ask(client, address):
    answer = await client.post(f"{address}/chat/completions", json=BODY, timeout=30)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text)["choices"][0]["message"]["content"]


@needs_nginx
async def test_requests_are_divided_and_none_is_lost_when_a_server_dies(proxy):
    servers = [CaptionServer(latency=0.05), CaptionServer(latency=0.05)]
    addresses = [await server.start() for server in servers]
    address = await proxy(*addresses)
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=16)) as client:
        answers = await asyncio.gather(*(ask(client, address) for _ in range(24)))
        assert len(set(answers)) == 1
        asked = [server.stats["requests"] for server in servers]
        assert sum(asked) == 24
        assert min(asked) >= 6
        await servers[0].close()
        answers = await asyncio.gather(*(ask(client, address) for _ in range(24)))
        assert len(answers) == 24
        assert servers[1].stats["requests"] == asked[1] + 24
    await servers[1].close()


@needs_nginx
async def test_pictures_of_a_long_request_pass(proxy):
    server = CaptionServer()
    address = await proxy(await server.start())
    body = {**BODY, "messages": [{"role": "user", "content": "x" * 20_000_000}]}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{address}/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200
    await server.close()


def wait_for(url, model, *more):
    command = ["bash", str(ROOT / "launch" / "wait_for_server.sh"), url, model, *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True)


@needs_curl
async def test_a_server_that_serves_the_model_is_enough(stubs):
    _, address = await stubs()
    assert (await asyncio.to_thread(wait_for, address.removesuffix("/v1"), "stub", 30)).returncode == 0


@needs_curl
async def test_another_model_is_not(stubs):
    _, address = await stubs()
    done = await asyncio.to_thread(wait_for, address.removesuffix("/v1"), "Qwen3-VL", 1)
    assert done.returncode == 1
    assert "does not serve Qwen3-VL" in done.stderr
    assert "stub" in done.stderr


@needs_curl
def test_a_server_that_has_ended_is_not_waited_for(tmp_path):
    log = tmp_path / "server.log"
    log.write_text("first\nCUDA out of memory\n")
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = wait_for("http://127.0.0.1:9", "policy", 600, gone.pid, log)
    assert done.returncode == 1
    assert "has ended" in done.stderr
    assert "CUDA out of memory" in done.stderr
