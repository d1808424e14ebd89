"""What this machine has, against what was tested and what is planned, each finding with its fix."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clipscout.doctor_checks import Finding

TESTED = {
    "torch": "2.13.0", "trl": "1.16.0", "transformers": "5.17.0", "accelerate": "1.15.0", "datasets": "5.2.0",
    "datatrove": "0.10.1",
}  # fmt: skip
OPTIONAL = {"deepspeed": "0.19.8", "vllm": "0.31.0", "liger-kernel": "0.8.5"}
HINTS = {"deepspeed": "pip install -e '.[dev]'"}
LEAST_DISK_GB = 5
LEAST_OPEN_FILES = 4096
CODES = {"ok": 0, "note": 0, "fix": 1, "broken": 2}
"""Exit code by level: a note is worth knowing; without a fix a planned run fails; if it is broken, none starts."""


def doctor(
    url: Annotated[list[str] | None, typer.Option(help="Endpoint to reach; repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model that an endpoint must serve; repeatable.")] = None,
    checkpoint: Annotated[list[Path] | None, typer.Option(help="Checkpoint to look at; repeatable.")] = None,
    config: Annotated[list[Path] | None, typer.Option(help="Training config: room for its checkpoints.")] = None,
    launch: Annotated[Path | None, typer.Option(help="Launch file of those runs: its engine's checkpoints.")] = None,
    shared: Annotated[list[Path] | None, typer.Option(help="Folder that all machines write to; repeatable.")] = None,
) -> None:
    """What this machine has, what is missing, and how to fix it.

    Exit code 0 if all is well, 1 if something must be fixed before a run, 2 if nothing can run here.
    """
    from clipscout import doctor_checks as checks

    found = [*guarded("machine", machine), *guarded("memory of SFT", checks.sft_memory)]
    for address in url or ():
        found += guarded(f"endpoint {checks.shown_address(address)}", checks.endpoint, address, model or ())
    for path in checkpoint or ():
        found += guarded(f"checkpoint {path}", checks.checkpoint, path)
    for path in config or ():
        found += guarded(f"room for {path.name}", checks.planned_checkpoints, path, launch)
    for path in shared or ():
        found += guarded(f"shared {path}", checks.shared_folder, path)
    raise typer.Exit(show(found))


def guarded(what: str, check: Callable[..., Iterable[Finding]], *arguments: Any) -> Iterator[Finding]:
    """A check's findings; one that breaks on what it looks at is itself a finding, and the others go on."""
    try:
        yield from check(*arguments)
    except Exception as error:  # servers, folders and packages of every kind: none may end the doctor
        found = f"cannot be looked at: {type(error).__name__}: {str(error)[:200]}"
        yield Finding("fix", what, found, "look at what this says; the checks after it were made")


def machine() -> Iterator[Finding]:
    """Python, packages, GPUs, compilers, open files, disk."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok" if sys.version_info >= (3, 11) else "broken", "python", python, "use Python 3.11 or newer")
    yield from packages()
    yield from accelerators()
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    yield Finding("ok", "processor", f"{os.cpu_count()} cores, OMP_NUM_THREADS {threads}")
    yield from precision()
    for program, why in (("cc", "DeepSpeed compiles an op on its first run"), ("ninja", "DeepSpeed compiles with it")):
        beside = Path(sys.executable).parent / program
        there = shutil.which(program) or (str(beside) if beside.exists() else None)
        hint = f"{why}: " + ("apt-get install build-essential" if program == "cc" else "pip install ninja")
        yield Finding("ok" if there else "note", program, there or "not found", hint)
    yield from open_files()
    free = shutil.disk_usage(".").free / 1e9
    level = "ok" if free >= LEAST_DISK_GB else "fix"
    yield Finding(level, "disk", f"{free:.0f} GB free here", f"make room: at least {LEAST_DISK_GB} GB")


def packages() -> Iterator[Finding]:
    """Each package's version, and whether together they are the set that was tested."""
    other = []
    for package, tested in (TESTED | OPTIONAL).items():
        needed = package in TESTED
        try:
            version = importlib.metadata.version(package).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            hint = "pip install -r requirements.lock" if needed else HINTS.get(package, "pip install -e '.[gpu]'")
            yield Finding("broken" if needed else "note", package, "not installed", hint)
            continue
        if version != tested:
            other.append(f"{package} {version} for {tested}")
        yield Finding("ok" if version == tested else "note", package, version, f"tested with {tested}")
    hint = "pip install -r requirements.lock, or requirements-gpu.lock where there are GPUs"
    yield Finding("note" if other else "ok", "tested set", "no: " + ", ".join(other) if other else "yes", hint)


def accelerators() -> Iterator[Finding]:
    try:
        import torch
    except Exception as error:
        yield Finding("broken", "torch", f"does not import: {error}", "pip install torch==2.13.0")
        return
    count = torch.cuda.device_count()
    for index in range(count):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        shown = f"{name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        busy = free < 0.9 * total
        yield Finding("note" if busy else "ok", f"GPU {index}", shown, "something uses it: see nvidia-smi")
    if count and not torch.cuda.is_bf16_supported():
        yield Finding("note", "bf16", "not supported", "these GPUs need dtype: float16 and other configs")
    if not count:
        yield Finding("note", "GPU", "none", "the CPU configs run here; Qwen3-8B needs GPUs")


def precision() -> Iterator[Finding]:
    """What `bf16: auto` means here."""
    try:
        from trainer.cpu import computes_bf16
    except ImportError:  # no torch, which is a finding of its own
        return
    if computes_bf16():
        yield Finding("ok", "bf16: auto", "computes in bfloat16: the processor or GPU has it (AVX512-BF16, AMX, CUDA)")
    else:
        yield Finding("ok", "bf16: auto", "computes in fp32: this processor has neither AVX512-BF16 nor AMX")


def open_files() -> Iterator[Finding]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    level = "ok" if soft >= LEAST_OPEN_FILES else "note"
    yield Finding(level, "open files", str(soft), f"many requests at once need more: ulimit -n {min(hard, 65536)}")


def show(findings: Iterable[Finding]) -> int:
    """Prints every finding; returns the exit code of the worst."""
    table = Table(title="clipscout doctor")
    for column in ("", "what", "found", "fix"):
        table.add_column(column, overflow="fold")
    marks = {
        "ok": "[green]ok[/]", "note": "[yellow]note[/]", "fix": "[red]fix[/]", "broken": "[red bold]broken[/]",
    }  # fmt: skip
    worst = 0
    for finding in findings:
        hint = "" if finding.level == "ok" else finding.hint
        table.add_row(marks[finding.level], *map(_plain, (finding.what, finding.found, hint)))
        worst = max(worst, CODES[finding.level])
    Console().print(table)
    return worst


def _plain(text: str) -> str:
    """Texts of servers and files, which must neither steer the table or the terminal nor say a key back to us."""
    from runtime.secrets import without_secrets

    return escape("".join(each if each.isprintable() else "\ufffd" for each in without_secrets(text)))
