"""What was freed is given back where that can be done, and nothing is asked for elsewhere."""

import ctypes
import platform
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from trainer.cpu import ReturnsFreedMemory, return_freed_memory

CPU = torch.device("cpu")


@pytest.mark.parametrize(("device", "calls"), [("cpu", [(0,)]), ("cuda", [])])
def test_freed_pages_go_back_after_a_step_on_a_cpu(monkeypatch, device, calls):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(malloc_trim=lambda *given: asked.append(given)))
    ReturnsFreedMemory().on_step_end(SimpleNamespace(device=torch.device(device)), None, None)
    assert asked == calls


def test_without_glibc_nothing_is_done(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    return_freed_memory(CPU)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps them")
def test_pages_between_blocks_that_are_kept_go_back():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    blocks = [torch.zeros(25_000) for _ in range(2000)]  # 100 kB each: below the size that is mapped on its own
    kept = blocks[::100]
    del blocks
    before = resident()
    return_freed_memory(CPU)
    assert before - resident() > 100e6
    assert all(not block.any() for block in kept)
