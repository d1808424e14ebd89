import io

from runtime import Progress


def test_counts_speed_and_what_is_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("runtime.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress("captions", lambda: "2 failed", stream, every=10)
    progress.expect(110)
    progress.resume(10)
    progress.advance()
    for _ in range(20):
        now[0] += 1
        progress.advance()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    # 21 of the 100 new ones in 20 s: 79 are left at that speed.
    assert progress.line() == "captions 31/110, 1.1/s, 1 min 15 s left · 2 failed"
    progress.guess_later(990)
    assert progress.line().startswith("captions 31/about 1100, 1.1/s, 16 min")


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with Progress("captions", lambda: "2 [failed]", stream) as progress:
        progress.expect(2)
        progress.advance(2)
    assert "captions 2/2" in stream.getvalue()
    assert "2 [failed]" in stream.getvalue()


def test_nothing_is_written_without_a_stream():
    progress = Progress("captions", stream=None)
    progress.expect(1)
    progress.advance()
    progress.close()
    assert progress.line() == "captions 1/1"
