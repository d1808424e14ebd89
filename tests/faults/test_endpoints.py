"""Endpoints that are cut off, come back, answer late or not at all."""

from fault_tools import Stub, until
from test_kills import IN_FLIGHT, SEGMENTS, captions, files, teacher


def test_captions_whose_server_is_cut_off_go_on_with_the_next(clips, stub, tmp_path, count):
    assert captions(clips, tmp_path / "calm", stub("captions")).run().code == 0
    server, out = stub("captions", "--latency", "0.4"), tmp_path / "out"
    command = captions(clips, out, server)
    # So few attempts that it gives up while the server is away.
    command.arguments += ["--attempts", "1"]
    child = command.start()
    until(lambda: server.stats()["answered"] >= 6 or child.poll() is not None)
    kept = server.stats()["answered"]
    server.cut()
    said, _ = child.communicate(timeout=900)
    assert child.returncode == 1, said
    assert "connection failed" in said or "answers in a row failed" in said, said
    back = stub("captions")
    assert captions(clips, out, back).run().code == 0
    assert files(out, "*.json") == files(tmp_path / "calm", "*.json")
    assert 2 * SEGMENTS - kept - IN_FLIGHT <= back.stats()["requests"] <= 2 * SEGMENTS - kept + IN_FLIGHT
    count("endpoints", cut_off=1, captions_kept=kept)


def test_a_server_that_comes_back_in_time_is_waited_for(clips, stub, tmp_path, count):
    assert captions(clips, tmp_path / "calm", stub("captions")).run().code == 0
    server, out = stub("captions", "--latency", "0.4"), tmp_path / "out"
    child = captions(clips, out, server).start()
    until(lambda: server.stats()["answered"] >= 6 or child.poll() is not None)
    server.cut()
    again = Stub("captions", "--port", server.port)
    try:
        said, _ = child.communicate(timeout=900)
    finally:
        again.cut()
    assert child.returncode == 0, said
    assert files(out, "*.json") == files(tmp_path / "calm", "*.json")
    count("endpoints", cut_off_and_back=1)


def test_answers_that_come_too_late_are_asked_again(corpus, stub, count):
    """A tenth of the requests hang, drop, are refused or come back broken."""
    server = stub("teacher", corpus, "--latency", "0.05", "--faults", "0.1", "--hang", "30")
    command = teacher(corpus, server)
    command.arguments += ["--timeout", "2"]
    end = command.run()
    assert end.code == 0, end.said
    faults = server.stats()["faults"]
    assert sum(faults.values()) > 0
    count("endpoints", **{f"answered_by_{name}": number for name, number in faults.items()})
