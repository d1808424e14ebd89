"""Everything that goes wrong, on purpose: small real runs of every stage as commands, and what is left of them.

Run by `make test-faults`, which prints the counts at the end.
"""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from data_gen.traces import write_traces
from runtime.testing.numbered_clip import write_numbered_clip

sys.path.append(str(Path(__file__).parent))
COUNTS: dict[str, Counter] = {}
MODEL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True, "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    if COUNTS:
        terminalreporter.section("faults")
        for stage, counts in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{stage}: " + ", ".join(f"{name} {n}" for name, n in sorted(counts.items())))


@pytest.fixture
def count():
    """`count("captions", kills=1)` adds to the table at the end."""

    def add(stage, **more):
        COUNTS.setdefault(stage, Counter()).update({name.replace("_", " "): n for name, n in more.items()})

    return add


@pytest.fixture
def chance(request):
    """Random, and the same when a test is run again."""
    return random.Random(request.node.nodeid)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name, seconds in (("one", 20), ("two", 24)):
        write_numbered_clip(folder / f"{name}.mp4", [100 * number for number in range(10 * seconds)])
    return folder


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """Sixty questions of the small world, trees and navigates."""
    folder = tmp_path_factory.mktemp("traces")
    write_traces("small_world", None, folder, limit=60, wander=0.4)
    return folder


@pytest.fixture
def corpus(traces, tmp_path):
    """The same questions and trees without trajectories, in a folder of their own."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    questions = (traces / "questions.jsonl").read_text().splitlines(keepends=True)[:12]
    (folder / "questions.jsonl").write_text("".join(questions))
    (folder / "trees").symlink_to(traces / "trees")
    return folder


@pytest.fixture(scope="session")
def base(traces, tmp_path_factory):
    from trainer.tiny_base import TinyBaseArguments, build

    folder = tmp_path_factory.mktemp("base")
    build(TinyBaseArguments(data=str(traces), output_dir=str(folder), model=MODEL, lookup_heads=False))
    return folder


@pytest.fixture
def stub():
    from fault_tools import Stub

    running = []

    def start(stage, *arguments):
        running.append(Stub(stage, *arguments))
        return running[-1]

    yield start
    for server in running:
        server.cut()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB: `small_disk.fill(left)` leaves so many bytes, `small_disk.free()` makes room again."""
    from fault_tools import SmallDisk

    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)
