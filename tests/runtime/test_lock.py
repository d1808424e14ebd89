import os
import signal
import subprocess
import sys

import pytest

from navigation import InputError
from runtime import RunLock

HOLD = """
import sys
from runtime import RunLock
with RunLock(sys.argv[1]):
    print("held", flush=True)
    input()
"""


def test_a_second_holder_is_told_who_has_it(tmp_path):
    with RunLock(tmp_path / "lock", "captions"), pytest.raises(InputError) as error:
        RunLock(tmp_path / "lock", "captions").__enter__()
    assert (error.value.field, error.value.value) == ("captions", "locked")
    assert f"process {os.getpid()} on " in error.value.hint
    with RunLock(tmp_path / "lock"):
        pass


def test_a_forked_child_does_not_hold_its_parents_lock(tmp_path):
    alive, tell = os.pipe()
    with RunLock(tmp_path / "lock"):
        child = os.fork()
        if child == 0:
            os.write(tell, b".")
            signal.pause()
        os.read(alive, 1)
    try:
        with RunLock(tmp_path / "lock"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_killed_process_holds_nothing(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(InputError) as error:
        RunLock(tmp_path / "lock").__enter__()
    assert (error.value.field, error.value.value) == ("run", "locked")
    assert f"process {child.pid} " in error.value.hint
    child.send_signal(signal.SIGKILL)
    child.wait()
    with RunLock(tmp_path / "lock"):
        pass
