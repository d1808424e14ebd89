"""A real Slurm of two nodes on loopback, once for all tests of this folder."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from data_gen.traces import write_questions, write_traces
from runtime.testing.numbered_clip import write_numbered_clip
from trainer.tiny_base import TinyBaseArguments, build

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "tests" / "slurm" / "cluster.sh"
MODEL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True, "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}  # fmt: skip
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY", "DEADLINE")


class Cluster:
    """Submits jobs and waits for them; everything under a time limit."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            **os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "CLIPSCOUT": str(ROOT), "VENV": sys.prefix,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            # Two nodes that are one machine: their names resolve nowhere.
            "HEAD": "127.0.0.1", "ADDRESS_OF_NODES": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "PROCESSES": "1",
        }  # fmt: skip

    def run(self, *command: str, **more: str) -> str:
        done = subprocess.run(
            command, env={**self.environment, **more}, capture_output=True, text=True, timeout=300, cwd=self.folder
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def submit(self, folder: Path, script: str, *flags: str, sbatch: tuple[str, ...] = (), **environment: str) -> str:
        """Submits `launch/slurm/<script>`; logs go to `folder`."""
        folder.mkdir(exist_ok=True, parents=True)
        self.folder = folder
        path = str(ROOT / "launch" / "slurm" / script)
        return self.run("sbatch", "--parsable", *sbatch, path, *flags, LOGS=str(folder / "logs"), **environment)

    def states(self, job: str) -> list[dict[str, str]]:
        """What Slurm says of a job, or of each task of an array."""
        lines = self.run("scontrol", "show", "job", job, "--oneliner").splitlines()
        return [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines if line]

    def wait(self, job: str, seconds: float = 300) -> list[dict[str, str]]:
        """Waits until a job, all tasks of an array, have ended; cancels it and fails when that takes too long."""
        end = time.monotonic() + seconds
        while True:
            found = self.states(job)
            if all(each["JobState"] in FINAL for each in found):
                return found
            if time.monotonic() > end:
                self.run("scancel", job)
                raise AssertionError(f"{found}\n{self.logs()}")
            time.sleep(0.2)

    def until(self, condition, seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.logs()
            time.sleep(0.05)

    def logs(self) -> str:
        paths = [path for path in sorted(self.folder.rglob("*.log")) if path.is_file()]
        return "\n".join(f"== {path}\n{path.read_text(errors='replace')[-3000:]}" for path in paths)

    def finished(self, job: str, seconds: float = 300) -> list[dict[str, str]]:
        found = self.wait(job, seconds)
        assert {each["JobState"] for each in found} == {"COMPLETED"}, self.logs()
        return found


@pytest.fixture(scope="session")
def slurm():
    if os.geteuid() != 0:
        pytest.skip("tests/slurm/cluster.sh starts Slurm's daemons, which needs root")
    folder = Path(tempfile.mkdtemp(prefix="clipscout-slurm-"))
    folder.chmod(0o755)
    try:
        subprocess.run(["bash", CLUSTER, "start", folder], check=True, timeout=300)
        yield Cluster(folder)
    finally:
        subprocess.run(["bash", CLUSTER, "stop", folder], check=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name, seconds in (("one", 20), ("two", 22), ("three", 24)):
        write_numbered_clip(folder / f"{name}.mp4", [100 * number for number in range(10 * seconds)])
    return folder


@pytest.fixture
def corpus(tmp_path):
    write_questions("small_world", None, tmp_path / "corpus", limit=12)
    return tmp_path / "corpus"


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    write_traces("small_world", None, folder, limit=60, wander=0.4)
    return folder


@pytest.fixture(scope="session")
def base(traces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    build(TinyBaseArguments(data=str(traces), output_dir=str(folder), model=MODEL, lookup_heads=False))
    return folder


@pytest.fixture
def stub():
    """Starts a stub server as a process of its own: `stub("captions", "--latency", "0.1")` gives its address."""
    running = []

    def start(stage, *arguments):
        module = f"data_gen.{stage}.stub"
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        running.append(child)
        return re.search(r"http://\S+/v1", child.stdout.readline())[0]

    yield start
    for child in running:
        child.send_signal(signal.SIGKILL)
        child.wait()
