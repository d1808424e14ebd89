"""A dead or stalled server is noticed, and its last words are heard."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trainer.ends import TrainingFailed
from trainer.server_watch import ServerWatch


class Server:
    """Answers `/health` with `code`, or holds the answer back while `held` is set."""

    def __init__(self):
        self.code, self.asked, self.go = 200, threading.Semaphore(0), threading.Event()
        self.go.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.release()
                outer.go.wait()
                self.send_response(outer.code)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.go.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    if server.http.fileno() != -1:
        server.close()


def watch_of(server, **options):
    """A watch that has asked twice."""
    watch = ServerWatch(server.url, every=0.01, **options)
    watch.start()
    assert server.asked.acquire(timeout=30)
    assert server.asked.acquire(timeout=30), "asks again and again"
    return watch


def test_a_dead_server_is_given_up_with_its_last_words(server, tmp_path):
    log = tmp_path / "server.log"
    log.write_text("".join(f"line {number}\n" for number in range(40)) + "Killed: out of memory\n")
    watch = watch_of(server, log=log)
    watch.check()
    server.close()
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
    with pytest.raises(TrainingFailed, match=r"does not answer /health.*server_log"):
        watch.check()


def test_an_engine_that_died_behind_its_door_is_given_up(server):
    watch = watch_of(server)
    watch.check()
    server.code = 503
    watch.patience = 0.2
    watch.join(timeout=30)
    with pytest.raises(TrainingFailed, match="answers 503"):
        watch.check()


def test_a_good_server_is_let_be(server):
    watch = watch_of(server)
    watch.stop()
    watch.join(timeout=30)
    assert not watch.is_alive()
    watch.check()


def test_a_log_that_cannot_be_read_is_said_to_be(tmp_path):
    watch = ServerWatch("http://127.0.0.1:9", log=tmp_path / "none.log")
    assert "none.log cannot be read" in str(watch.last_words("is gone"))
