import os
import signal
import time
from pathlib import Path

from runtime.executors import forks_die_with_us
from runtime.lock import RunLock


def test_forks_of_a_killed_process_die_with_it_and_hold_no_lock(tmp_path):
    hear, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        with RunLock(tmp_path / "lock"), forks_die_with_us():
            if os.fork() == 0:
                os.fork()  # a worker's own child
            os.write(tell, f"{os.getpid()}\n".encode())
            signal.pause()
    heard = b""
    while heard.count(b"\n") < 3:
        heard += os.read(hear, 100)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    with RunLock(tmp_path / "lock"):
        pass
    end = time.monotonic() + 600
    while any(alive(int(pid)) for pid in heard.split()):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_other_forks_live_on(tmp_path):
    with forks_die_with_us():
        pass
    hear, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        child = os.fork()
        if child == 0:
            signal.pause()
        os.write(tell, f"{child}\n".encode())
        signal.pause()
    child = int(os.read(hear, 100))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert alive(child)
    os.kill(child, signal.SIGKILL)


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
