"""Command blocks of the docs, and a place to run them in that looks like a checkout and is thrown away."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
EVERY_PAGE = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / file for file in ("README.md", "launch/README.md", "configs/README.md"))]
)
DATA = ROOT.parent / "shared" / "data"
DOWNLOADED = {"goalstep": "ego4d_goalstep", "nextgqa": "nextgqa", "hirest": "hirest"}
LANGUAGES = ("bash", "python")
CANNOT = ("needs ", "serves ")
"""How a block's opening line tells why it is not run: ```` ```bash needs a GPU ````."""
_FENCE = re.compile(r"^```([a-z]*)[ ]?(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block. `mark` follows the language on its first line; `expected` is the text block right after it."""

    page: str
    line: int
    language: str
    mark: str
    text: str
    expected: str | None = None

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        return not self.mark.startswith(CANNOT)

    @property
    def slow(self) -> bool:
        return self.mark == "slow"


def blocks_of(path: Path) -> list[Block]:
    """Command blocks of a page in order, each with the output that follows it at once, if any."""
    page = path.read_text(encoding="utf-8")
    matches = list(_FENCE.finditer(page))
    found = []
    for match, after in zip_longest(matches, matches[1:]):
        if match.group(1) in LANGUAGES:
            expected = None
            if after is not None and after.group(1) == "text" and not page[match.end() : after.start()].strip():
                expected = after.group(3)
            line = page.count("\n", 0, match.start()) + 1
            found.append(Block(path.name, line, match.group(1), match.group(2).strip(), match.group(3), expected))
    return found


class Checkout:
    """A folder that holds links to the repository's files and its own `runs/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir()
        for path in ROOT.iterdir():
            if path.name not in ("runs", ".git", "data", "videos"):
                (self.folder / path.name).symlink_to(path)
        # As `clipscout download` would have left them, and a folder of videos.
        if DATA.is_dir():
            (self.folder / "data").mkdir()
            for corpus, name in DOWNLOADED.items():
                (self.folder / "data" / corpus).symlink_to(DATA / name)
            (self.folder / "videos").symlink_to(DATA / "videos")
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        # The environment that runs this test is the one to use; make must not make another.
        self._script(bin_folder / "make", f'exec {shutil.which("make")} -o .venv/.installed "$@"')
        self._script(bin_folder / "clipscout", f'exec {sys.executable} -m clipscout.main "$@"')
        self._script(bin_folder / "python", f'exec {sys.executable} "$@"')
        self.environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        for name in [name for name in self.environment if name.startswith("CLIPSCOUT_")]:
            del self.environment[name]
        self.python: list[str] = []

    @staticmethod
    def _script(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, block: Block) -> str:
        """Runs a block; what earlier Python blocks of the page defined is defined."""
        if block.language == "bash":
            command = ["bash", "-euo", "pipefail", "-c", block.text]
        else:
            before = "import contextlib, io\n"
            for text in self.python:
                before += f"with contextlib.redirect_stdout(io.StringIO()):\n    exec({text!r}, globals())\n"
            command = [sys.executable, "-c", before + block.text]
            self.python.append(block.text)
        return self._run(block.name, command)

    def _run(self, name: str, command: list[str]) -> str:
        """Files take what is said, not pipes: a server left in the background would hold a pipe open."""
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=said,
                stderr=complained, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            said.seek(0)
            complained.seek(0)
            output = said.read()
            assert code == 0, f"{name}\n{output[-2000:]}\n{complained.read()[-3000:]}"
            return output
