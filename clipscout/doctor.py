"""What this machine has, against what was tested, each finding with its mend."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

TESTED = {
    "torch": "2.13.0", "trl": "1.16.0", "transformers": "5.17.0", "accelerate": "1.15.0", "datasets": "5.2.0",
    "datatrove": "0.10.1",
}  # fmt: skip
OPTIONAL = {"deepspeed": "0.19.8", "vllm": "0.31.0", "liger-kernel": "0.8.5"}
LEAST_DISK_GB = 5


class Finding(NamedTuple):
    """One thing looked at. `level` is ok, note or mend."""

    level: str
    what: str
    found: str
    mend: str = ""


def findings() -> Iterator[Finding]:
    """Python, packages, processor, GPUs, compilers, disk."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok" if sys.version_info >= (3, 11) else "mend", "python", python, "use Python 3.11 or newer")
    for package, tested in (TESTED | OPTIONAL).items():
        needed = package in TESTED
        try:
            version = importlib.metadata.version(package).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            mend = "pip install -e ." if needed else "pip install -e '.[gpu]' on a machine with a GPU"
            yield Finding("mend" if needed else "note", package, "not installed", mend)
            continue
        same = version == tested
        yield Finding("ok" if same else "note", package, version, "" if same else f"tested with {tested}")
    try:
        import torch
    except ImportError:
        yield Finding("mend", "torch", "does not import", "pip install torch==2.13.0")
    else:
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            yield Finding("ok", f"GPU {index}", f"{name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")
        if not torch.cuda.device_count():
            yield Finding("note", "GPU", "none", "the CPU configs run here; Qwen3-8B needs GPUs")
    yield Finding(
        "ok", "processor", f"{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
    for program, why in (
        ("cc", "DeepSpeed compiles an op on its first run"),
        ("ninja", "DeepSpeed needs it to compile"),
    ):
        beside = os.path.join(os.path.dirname(sys.executable), program)
        there = shutil.which(program) or (beside if os.path.exists(beside) else None)
        yield Finding("ok" if there else "note", program, there or "not found", "" if there else why)
    free = shutil.disk_usage(".").free / 1e9
    level = "ok" if free >= LEAST_DISK_GB else "mend"
    yield Finding(
        level, "disk", f"{free:.0f} GB free here", "" if level == "ok" else f"free at least {LEAST_DISK_GB} GB"
    )


def examine() -> int:
    """Prints every finding; 1 if something must be mended, else 0."""
    table = Table(title="clipscout doctor")
    for column in ("", "what", "found", "mend"):
        table.add_column(column)
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "mend": "[red]mend[/]"}
    worst = 0
    for finding in findings():
        table.add_row(marks[finding.level], finding.what, finding.found, finding.mend if finding.level != "ok" else "")
        worst |= finding.level == "mend"
    Console().print(table)
    return int(worst)
