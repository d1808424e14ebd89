"""What a step freed is given back where that can be done, and nothing is asked for elsewhere."""

import ctypes
from types import SimpleNamespace

import pytest
import torch

from trainer.cpu import ReturnsFreedMemory


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
    ReturnsFreedMemory().on_step_end(SimpleNamespace(device=torch.device("cpu")), None, None)
