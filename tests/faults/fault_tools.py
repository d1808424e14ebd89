"""Commands that are killed at random moments, servers that can be cut off, a disk that can be filled."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).parents[2]


class Ended:
    """How a command ended: its code and what it said."""

    def __init__(self, code: int, said: str) -> None:
        self.code, self.said = code, said

    @property
    def error(self) -> str:
        return self.said.strip().splitlines()[-1] if self.said.strip() else ""


class Command:
    """One stage as a user types it."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = [sys.executable, "-m", *map(str, arguments)]

    def start(self) -> subprocess.Popen:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "300"}
        return subprocess.Popen(
            self.arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, seconds: float = 1800) -> Ended:
        return ended(self.start(), seconds)

    def survive(self, kills: int, chance: random.Random, begun, seconds: float) -> tuple[int, Ended]:
        """Kills a run `kills` times, each at a random moment after `begun()` is true, then runs it to its end.

        Args:
            seconds: What an undisturbed run took. The moments lie before six tenths of it: others may be faster.

        Returns:
            How many were really killed, at least the first, and the end.
        """
        killed = 0
        for _ in range(kills):
            start = time.monotonic()
            child = self.start()
            until(lambda child=child: begun() or child.poll() is not None)
            moment = max(time.monotonic(), chance.uniform(time.monotonic(), start + 0.6 * seconds))
            while time.monotonic() < moment and child.poll() is None:
                time.sleep(0.005)
            killed += kill(child)
        assert killed, "no run was killed: nothing was tested"
        return killed, self.run()

    def killed_when(self, condition) -> str:
        """Kills a run as soon as `condition()` is true; it must not have ended by then. Returns what it said."""
        child = self.start()
        until(lambda: condition() or child.poll() is not None)
        assert child.poll() is None, f"it ended before it could be killed: {child.communicate()[0]}"
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()[0]


def kill(child: subprocess.Popen) -> bool:
    """Kills a run and reads what it said; whether it was still there."""
    alive = child.poll() is None
    if alive:
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    return alive


def ended(child: subprocess.Popen, seconds: float = 1800) -> Ended:
    try:
        said, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        said, _ = child.communicate()
        raise AssertionError(f"it waited for ever: {said[-3000:]}") from None
    return Ended(child.returncode, said)


def until(condition, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Stub:
    """A stub server in a process of its own, so that it can be cut off."""

    MODULES: ClassVar = {"captions": "runtime.testing.caption_server", "teacher": "benchmarks.teacher_server"}

    def __init__(self, stage: str, *arguments: object) -> None:
        command = [sys.executable, "-m", self.MODULES[stage], *map(str, arguments)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.address = re.search(r"http://\S+/v1", self.child.stdout.readline())[0]
        self.port = int(self.address.split(":")[2].split("/")[0])

    def stats(self) -> dict:
        return json.loads(urllib.request.urlopen(f"{self.address}/stats").read())

    def cut(self) -> None:
        self.child.kill()
        self.child.wait()


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, left: int) -> None:
        free = os.statvfs(self.folder)
        size = free.f_bavail * free.f_frsize - left
        with open(self._filler, "wb") as file:
            file.write(b"\0" * max(0, size))

    def free(self) -> None:
        self._filler.unlink()
