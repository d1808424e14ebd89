"""Endpoints that are cut off, come back, answer late or not at all."""

import json

from fault_tools import Stub, until
from test_kills import IN_FLIGHT, SEGMENTS, captions, evaluation, files, teacher

from runtime import EndpointSettings


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


def trajectories(out):
    """Trajectories by id; an id that is there twice is an error."""
    rows = [json.loads(line) for line in (out / "trajectories.jsonl").read_text().splitlines()]
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows) == 60
    return found


def test_an_evaluation_whose_endpoint_is_cut_off_goes_on_with_what_it_paid_for(traces, stub, tmp_path, count):
    """Trajectories that failed until the endpoint counted as down stay as they are: a reply that never came is a
    failure."""
    calm = stub("captions")
    assert evaluation(traces, calm, tmp_path / "calm").run().code == 0
    server, out = stub("captions", "--latency", "2"), tmp_path / "out"
    command = evaluation(traces, server, out)
    command.arguments += ["--attempts", "1"]
    child = command.start()
    until(lambda: server.stats()["answered"] >= 6 or child.poll() is not None)
    kept = server.stats()["answered"]
    server.cut()
    said, _ = child.communicate(timeout=900)
    assert child.returncode == 1, said
    assert "Traceback" not in said, said
    assert "stopped: " in said, said
    assert "connection failed" in said or "answers in a row failed" in said, said
    back = Stub("captions", "--port", server.port)
    try:
        end = command.run()
        assert end.code == 0, end.said
        assert back.stats()["requests"] <= calm.stats()["requests"] - kept + IN_FLIGHT
    finally:
        back.cut()
    undisturbed = trajectories(tmp_path / "calm")
    other = [row for name, row in trajectories(out).items() if row["messages"] != undisturbed[name]["messages"]]
    assert len(other) < EndpointSettings(server.address, "stub").down_after + IN_FLIGHT
    assert {row["status"] for row in other} <= {"failed"}
    count("endpoints", evaluations_cut_off=1, evaluation_kept=kept)


def test_an_evaluation_with_an_endpoint_that_answers_late_or_not_asks_again(traces, stub, tmp_path, count):
    assert evaluation(traces, stub("captions"), tmp_path / "calm").run().code == 0
    server, out = stub("captions", "--faults", "0.1", "--hang", "30"), tmp_path / "out"
    command = evaluation(traces, server, out)
    command.arguments += ["--timeout", "2"]
    end = command.run()
    assert end.code == 0, end.said
    assert sum(server.stats()["faults"].values()) > 0
    undisturbed = trajectories(tmp_path / "calm")
    other = [row for name, row in trajectories(out).items() if row["messages"] != undisturbed[name]["messages"]]
    # One of the faults is a reply without a word, which is the policy's own.
    assert len(other) == server.stats()["faults"].get("empty", 0)
    assert not any(row["messages"][-1]["content"] for row in other)
    count("endpoints", evaluations_with_faults=1)
