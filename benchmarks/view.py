"""How long the viewer takes to show the first list of many trajectories, beside parsing the same file whole.

    python -m benchmarks.view [--trajectories 33000]

The file holds the small world's trajectories with ten turns each, about 10 kB a trajectory. CPU-seconds of this
process, imports of the pages included, and the wall time of the same.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.measure import peak_mb, show
from benchmarks.navigation import make_tree
from navigation import TOOLS, Question, Status, TimeGrid, Trajectory, TreeStore, Visit, assistant_message, write_jsonl

GRID = TimeGrid.for_duration(1800.0)
TURNS = 10


def write_run(folder: Path, trajectories: int) -> None:
    """Questions, one tree, and a trajectory a question that opens ten segments."""
    tree = make_tree("video", GRID, 60)
    TreeStore(folder / "trees").save(tree)
    paths = list(GRID.paths())[:TURNS]
    messages = [{"role": "system", "content": "s" * 500}, {"role": "user", "content": "u" * 2000}]
    for path in paths:
        messages.append(assistant_message("Look there. " * 20, calls=[("get_caption", {"segment": list(path)})]))
        messages.append({"role": "tool", "name": "get_caption", "content": tree.captions[path]})
    visits = [Visit("get_caption", path) for path in paths]
    questions, rows = [], []
    for number in range(trajectories):
        text, options = f"What is at {number}?", ("one", "two")
        questions.append(Question(f"q{number}", "video", text, options, "A", ((0.0, 9.0),), 1800.0, "b", "k"))
        letter = "AB"[number % 2]
        played = Trajectory(
            f"q{number}#0", f"q{number}", "video", messages, TOOLS, letter, letter == "A", Status.ANSWERED, visits
        )
        played.turns, played.reward = TURNS + 1, {"answer": 1.0, "total": number / trajectories}
        rows.append(played.to_dict())
    write_jsonl(folder / "questions.jsonl", (question.to_dict() for question in questions))
    write_jsonl(folder / "trajectories.jsonl", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=33_000)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder), options.trajectories)
        size = (Path(folder) / "trajectories.jsonl").stat().st_size / 1e6

        def timed(what, call):
            cpu, wall = time.process_time(), time.perf_counter()
            result = call()
            rows.append([what, f"{time.process_time() - cpu:.2f}", f"{time.perf_counter() - wall:.2f}"])
            return result

        def open_and_list():
            from starlette.testclient import TestClient

            from clipscout.view.app import view_app
            from clipscout.view.runs import find_runs

            client = TestClient(view_app(find_runs([Path(folder)])), base_url="http://localhost")
            assert client.get("/list").status_code == 200
            return client

        client = timed("imports, index, first list", open_and_list)
        timed("a filtered, ordered list", lambda: client.get("/list?visits_from=5&order=reward-&text=77"))
        timed("a trajectory", lambda: client.get("/trajectory?id=q7%230"))
        memory = peak_mb()

        def parse():
            with open(Path(folder) / "trajectories.jsonl", encoding="utf-8") as lines:
                for line in lines:
                    json.loads(line)

        timed("parsing every line (baseline)", parse)
    show(f"{options.trajectories} trajectories", ("what", "CPU s", "wall s"), rows)
    print(f"{size:.0f} MB on disk; peak memory with writing the file {memory:.0f} MB")


if __name__ == "__main__":
    main()
