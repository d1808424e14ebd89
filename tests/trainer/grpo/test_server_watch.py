"""A dead or stalled server is noticed, and the end of its log is shown."""

import asyncio
import socket
import threading

import pytest

from runtime.testing.scripted_server import Raw, ScriptedServer
from trainer.server_watch import ServerWatch
from trainer.stopping import TrainingFailed


class Server(ScriptedServer):
    """Answers `/health` with `code`, or holds the answer back while `go` is not set."""

    def __init__(self):
        super().__init__(self._health)
        self.code, self.asked, self.go = 200, threading.Semaphore(0), threading.Event()
        self.go.set()

    async def _health(self, request):
        self.asked.release()
        await asyncio.to_thread(self.go.wait)
        return Raw(self.code)


@pytest.fixture
def server():
    with Server() as server:
        yield server
        server.go.set()


def watch_of(server, **options):
    """A watch that has asked twice."""
    watch = ServerWatch(server.url, every=0.01, **options)
    watch.start()
    assert server.asked.acquire(timeout=30)
    assert server.asked.acquire(timeout=30), "asks again and again"
    return watch


def test_a_dead_server_is_given_up_with_the_end_of_its_log(server, tmp_path):
    log = tmp_path / "server.log"
    log.write_text("".join(f"line {number}\n" for number in range(40)) + "Killed: out of memory\n")
    watch = watch_of(server, log=log)
    watch.check()
    server.stop()
    watch.join(timeout=30)
    with pytest.raises(TrainingFailed) as error:
        watch.check()
    text = str(error.value)
    assert "cannot be reached" in text
    assert "Killed: out of memory" in text
    assert "line 39" in text
    assert "line 5\n" not in text
    assert "last checkpoint" in text


def test_a_stalled_server_is_given_up(server):
    server.go.clear()
    watch = ServerWatch(server.url, every=0.01, patience=0.3)
    watch.start()
    watch.join(timeout=30)
    with pytest.raises(TrainingFailed):
        watch.check()
    assert watch.failure == "does not answer /health"


def test_an_engine_that_died_behind_its_door_is_given_up(server):
    watch = watch_of(server)
    watch.check()
    server.code = 503
    watch.patience = 0.2
    watch.join(timeout=30)
    with pytest.raises(TrainingFailed):
        watch.check()
    assert watch.failure == "answers 503 to /health"


def unreachable(monkeypatch, error, patience):
    """A watch whose every question ends in `error`, and how often it asked."""
    asked = threading.Semaphore(0)

    async def fail(*arguments, **options):
        asked.release()
        raise error

    monkeypatch.setattr("aiohappyeyeballs.start_connection", fail)
    watch = ServerWatch("http://127.0.0.1:9", every=0.01, patience=patience)
    watch.start()
    return watch, asked


NETWORK = [
    ConnectionResetError(104, "Connection reset by peer"), OSError(113, "No route to host"),
    TimeoutError("timed out"), socket.gaierror(-3, "Temporary failure in name resolution"),
]  # fmt: skip


@pytest.mark.parametrize("error", NETWORK, ids=lambda error: type(error).__name__)
def test_what_a_network_does_is_waited_for(monkeypatch, error):
    watch, asked = unreachable(monkeypatch, error, patience=3600.0)
    for _ in range(5):
        assert asked.acquire(timeout=30), "asks again and again"
    watch.check()
    watch.stop()
    watch.join(timeout=30)
    assert watch.failure is None


@pytest.mark.parametrize("error", NETWORK, ids=lambda error: type(error).__name__)
def test_and_given_up_when_patience_ends(monkeypatch, error):
    watch, _ = unreachable(monkeypatch, error, patience=0.05)
    watch.join(timeout=30)
    with pytest.raises(TrainingFailed):
        watch.check()
    late = isinstance(error, TimeoutError)
    assert watch.failure == ("does not answer /health" if late else f"cannot be reached ({error})")


def test_a_refused_connection_is_not_waited_for(monkeypatch):
    watch, asked = unreachable(monkeypatch, ConnectionRefusedError(111, "Connection refused"), patience=3600.0)
    watch.join(timeout=30)
    assert asked._value == 2
    with pytest.raises(TrainingFailed):
        watch.check()
    assert watch.failure.startswith("cannot be reached")


def test_a_good_server_is_let_be(server):
    watch = watch_of(server)
    watch.stop()
    watch.join(timeout=30)
    assert not watch.is_alive()
    watch.check()


def test_a_log_that_cannot_be_read_is_said_to_be(tmp_path):
    watch = ServerWatch("http://127.0.0.1:9", log=tmp_path / "none.log")
    assert "none.log cannot be read" in str(watch.error("is gone"))
