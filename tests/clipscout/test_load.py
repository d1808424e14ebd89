"""Many at once, and clients that go away in the middle."""

import asyncio
import json

import httpx
import pytest

from clipscout.ask.policies import DescentPolicy
from clipscout.ask.settings import AskSettings
from navigation import TreeStore
from tests.clipscout.world import house_questions, house_tree

SESSIONS = 64
CHAT = "/v1/chat/completions"


class Gated(DescentPolicy):
    """Waits at each turn until the gate is open; counts who is waiting. For one event loop, the server's."""

    def __init__(self):
        super().__init__()
        object.__setattr__(self, "waiting", 0)
        object.__setattr__(self, "most", 0)
        object.__setattr__(self, "open", False)

    async def reply(self, task, messages):
        object.__setattr__(self, "waiting", self.waiting + 1)
        object.__setattr__(self, "most", max(self.most, self.waiting))
        try:
            while not self.open:
                await asyncio.sleep(0.02)
        finally:
            object.__setattr__(self, "waiting", self.waiting - 1)
        return await super().reply(task, messages)


@pytest.fixture
def gated(asking, tmp_path):
    for name in ("house", "barn", "shed"):
        TreeStore(tmp_path).save(house_tree(name))
    policy = Gated()
    return policy, asking([tmp_path], AskSettings(), sessions=SESSIONS, policy=policy)


def body(number):
    question = house_questions()[number % 6]
    video = ("house", "barn", "shed")[number % 3]
    return {"video": video, "question": question.question, "options": list(question.options)}


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def health(client, running):
    return (await client.get(f"{running.url}/healthz")).json()


async def test_64_sessions_at_once_each_get_their_own_answer_and_the_65th_is_told_to_wait(gated):
    policy, running = gated
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        url = f"{running.url}/api/ask"
        asked = [asyncio.ensure_future(client.post(url, json=body(number))) for number in range(SESSIONS)]
        await until(lambda: policy.waiting == SESSIONS)
        refused = await client.post(f"{running.url}/api/ask", json=body(0))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert (await health(client, running))["navigating"] == SESSIONS
        object.__setattr__(policy, "open", True)
        for number, reply in enumerate(await asyncio.gather(*asked)):
            last = json.loads([line for line in reply.text.splitlines() if line.startswith("data: ")][-1][6:])
            question = house_questions()[number % 6]
            assert (last["question"], last["letter"]) == (question.question, "A")
            assert last["video"] == body(number)["video"]
        assert policy.most == SESSIONS
        assert await health(client, running) == {"status": "ok", "navigating": 0, "finished": SESSIONS}


async def test_clients_that_leave_mid_stream_end_their_episodes_and_nobody_elses(gated):
    policy, running = gated
    async with httpx.AsyncClient(timeout=120) as client:
        staying = asyncio.ensure_future(client.post(f"{running.url}/api/ask", json=body(1)))
        await until(lambda: policy.waiting == 1)
        for path, asked in (("/api/ask", body(0)), (CHAT, chat(True)), (CHAT, chat(False))):
            reader, writer = await asyncio.open_connection(*running.address)
            content = json.dumps(asked).encode()
            head = [
                f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json",
                f"Content-Length: {len(content)}", "", "",
            ]  # fmt: skip
            writer.write("\r\n".join(head).encode() + content)
            await writer.drain()
            await until(lambda: policy.waiting == 2)
            if asked.get("stream", True):
                assert b"200 OK" in await reader.readline()
            writer.transport.abort()
            await until(lambda: policy.waiting == 1)
        object.__setattr__(policy, "open", True)
        assert '"letter": "A"' in (await staying).text
        while (await health(client, running))["navigating"]:
            await asyncio.sleep(0.01)
        assert '"letter": "A"' in (await client.post(f"{running.url}/api/ask", json=body(2))).text


def chat(stream):
    asked = body(0)
    return {
        "stream": stream, "video": asked["video"], "options": asked["options"],
        "messages": [{"role": "user", "content": asked["question"]}],
    }  # fmt: skip
