"""A small world to ask and to view, servers on loopback ports, and a real browser where there is one."""

import asyncio
import contextlib
import shutil
import threading

import httpx
import pytest
import pytest_asyncio
import uvicorn

from clipscout.serve.app import serve_app
from clipscout.serve.library import Library
from clipscout.view.app import view_app
from clipscout.view.runs import find_runs
from clipscout.web.server import bind
from navigation import Status, TreeStore, write_jsonl
from runtime.testing.caption_server import CaptionServer
from runtime.testing.numbered_clip import write_numbered_clip
from tests.clipscout.world import house_questions, house_tree, play

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def house(tmp_path):
    """A folder with questions and a tree."""
    TreeStore(tmp_path / "house" / "trees").save(house_tree())
    write_jsonl(tmp_path / "house" / "questions.jsonl", (question.to_dict() for question in house_questions()))
    return tmp_path / "house"


@pytest.fixture
def runs(house):
    """Two evaluations and a training's rollouts below the house's folder."""
    trees, questions = TreeStore(house / "trees"), house_questions()
    expert = asyncio.run(play("expert", questions, trees))
    chance = asyncio.run(play("random", questions, trees, visits=2))
    chance[1].status, chance[1].prediction, chance[1].correct = Status.OUT_OF_TURNS, None, False
    write_jsonl(house / "eval" / "expert" / "trajectories.jsonl", (trajectory.to_dict() for trajectory in expert))
    write_jsonl(house / "eval" / "random" / "trajectories.jsonl", (trajectory.to_dict() for trajectory in chance))
    for step in (1, 2):
        rows = [
            trajectory.to_dict() | {"step": step, "group": trajectory.question_id, "advantage": 0.5 - number}
            for number, trajectories in enumerate((expert, chance))
            for trajectory in trajectories[:2]
        ]
        write_jsonl(house / "grpo" / "rollouts" / f"step-{step:06d}.jsonl", rows)
    return house


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A clip of 32 s whose pixels carry the frame number."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_numbered_clip(path, [200 * number for number in range(160)])
    return path


@pytest.fixture
async def stub():
    """A vision model's stand-in; yields its address."""
    server = CaptionServer()
    yield await server.start()
    await server.close()


class Running:
    """An application served on a loopback port from a thread of its own."""

    def __init__(self, app):
        listener = bind("127.0.0.1", 0)
        self.address = listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            self.thread.join(0.01)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def serving():
    """Starts applications; all are stopped in the end."""
    with contextlib.ExitStack() as stack:

        def start(app):
            running = Running(app)
            stack.callback(running.stop)
            return running

        yield start


@pytest.fixture
def asking(serving):
    """Serves sources: `asking([folder], parts)`."""
    return lambda sources, parts, **options: serving(serve_app(Library(sources), parts, **options))


@pytest.fixture
def viewing(serving):
    """Serves the trajectories of a folder."""

    def start(folder):
        return serving(view_app(find_runs([folder])))

    return start


@pytest.fixture
def client():
    with httpx.Client(timeout=60) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser():
    """Debian's Chromium, driven by Playwright."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: tests/install_system_packages.sh installs it")
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=60_000)
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser):
    """A page that may go nowhere but to this machine, and whose scripts raise no error."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    made = await context.new_page()
    made.set_default_timeout(60_000)
    made.requests, made.problems = [], []
    context.on("request", lambda request: made.requests.append(request.url))
    made.on("pageerror", lambda error: made.problems.append(str(error)))
    made.on("console", lambda message: made.problems.append(message.text) if message.type == "error" else None)
    made.on("dialog", lambda dialog: made.problems.append(f"dialog: {dialog.message}"))
    yield made
    await context.close()
    elsewhere = [url for url in made.requests if httpx.URL(url).scheme != "data" and httpx.URL(url).host != "127.0.0.1"]
    assert elsewhere == []
    assert made.problems == []
