"""Commands that make up a run: each is skipped once it finished, and some run beside the others."""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from navigation import InputError, write_atomic, write_json

CONSOLE = Console()
WAIT = "wait"
"""The name under which the time is kept that was spent on nothing but stages beside."""


class Stages:
    """Runs commands in a folder; use it as a context manager, which ends what runs beside when an error leaves it.

    Args:
        out: Its `done/` keeps what finished, its `logs/` what the stages beside said.
        count: How many there will be, for the titles.
    """

    def __init__(self, out: Path, count: int) -> None:
        self.out, self.count, self._numbers = out, count, itertools.count(1)
        # One thread a process: two of these share two cores, and sums of floats depend on the number of threads.
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._pool = ThreadPoolExecutor(1, "stage beside")
        self._beside: list[Future[None]] = []
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._child is not None:
            self._child.terminate()
        self._pool.shutdown(cancel_futures=kind is not None)

    def run(self, name: str, command: Sequence[str]) -> None:
        """Runs a stage, whose output is shown.

        Raises:
            InputError: it failed, or one beside it has.
        """
        self._raise_failed()
        self._stage(name, command, beside=False)
        self._raise_failed()

    def beside(self, name: str, command: Sequence[str]) -> None:
        """Runs a stage while others go on, after those begun so before; its output goes to a file."""
        self._beside.append(self._pool.submit(self._stage, name, command, beside=True))

    def join(self) -> None:
        """Waits for the stages beside.

        Raises:
            InputError: one of them failed.
        """
        begun = time.monotonic()
        for future in self._beside:
            future.result()
        marker = self._marker(WAIT)
        before = json.loads(marker.read_text(encoding="utf-8"))["seconds"] if marker.is_file() else 0.0
        write_json(marker, {"seconds": round(before + time.monotonic() - begun, 1)})

    def _raise_failed(self) -> None:
        for future in self._beside:
            if future.done():
                future.result()

    def _marker(self, name: str) -> Path:
        return self.out / "done" / f"{name.replace(' ', '_')}.json"

    def _stage(self, name: str, command: Sequence[str], beside: bool) -> None:
        """Runs a stage unless its marker says that this very command finished."""
        marker = self._marker(name)
        title = f"{next(self._numbers)}/{self.count} {name}"
        if marker.is_file() and json.loads(marker.read_text(encoding="utf-8"))["command"] == list(command[1:]):
            CONSOLE.print(f"{title}: done before", highlight=False)
            return
        log = self.out / "logs" / f"{marker.stem}.log"
        CONSOLE.rule(f"{title}, beside the others: {log}" if beside else title)
        # Time before a kill is not known: a stage that was begun more than once is said to be so.
        begins = marker.with_suffix(".begins")
        times = int(begins.read_text(encoding="utf-8")) if begins.is_file() else 0
        write_atomic(begins, f"{times + 1}\n")
        begun = time.monotonic()
        if beside:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as file:
                code = self._call(command, file)
        else:
            code = subprocess.run(command, check=False, env=self._environment).returncode
        if code:
            where = f"see {log}" if beside else "see its last lines above"
            raise InputError("demo", name, f"exit code {code}", f"{where}; run the demo again to go on from here")
        seconds = round(time.monotonic() - begun, 1)
        if beside:
            CONSOLE.print(f"{name}: done in {seconds:.0f} s, beside the others", highlight=False)
        write_json(marker, {"command": list(command[1:]), "seconds": seconds, "restarts": times, "beside": beside})

    def _call(self, command: Sequence[str], file: IO[bytes]) -> int:
        with subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=self._environment) as self._child:
            code = self._child.wait()
        self._child = None
        return code


def stage_seconds(out: Path) -> tuple[float, dict[str, float], list[str]]:
    """Seconds of the whole run and of each stage, and the stages that a kill interrupted.

    What ran beside is not part of the whole, but the wait for it is.
    """
    done: dict[str, dict[str, Any]] = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "done").glob("*.json"))
    }
    whole = sum(each["seconds"] for each in done.values() if not each.get("beside"))
    stages = {name: each["seconds"] for name, each in done.items() if name != WAIT}
    return round(whole, 1), stages, sorted(name for name, each in done.items() if each.get("restarts"))


def same_settings(out: Path, settings: dict[str, Any]) -> None:
    """Keeps what a demo was asked for beside it: its stages are told apart by their commands alone, and not by what
    an earlier stage of other settings left for them.

    Raises:
        InputError: the folder holds another demo, or something else.
    """
    path = out / "demo.json"
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != settings:
            raise InputError(
                out, "settings", before, f"asked for {settings}: give another folder, or `make clean` first"
            )
    elif any(out.iterdir()):
        raise InputError(out, "folder", "not empty", "give an empty folder for the demo")
    write_json(path, settings)
