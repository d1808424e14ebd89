"""A second training into one folder is refused before it touches a checkpoint; a dead one holds nothing."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from accelerate.utils import DistributedType

from navigation import InputError
from runtime.lock import RunLock
from trainer.durable_checkpoints import INCOMPLETE
from trainer.run import train


class NeverTrains:
    """Stands where a trainer would: training it is a failure of the test."""

    class args:
        output_dir = ""

    class accelerator:
        distributed_type, num_processes, is_main_process = DistributedType.NO, 1, False
        state = SimpleNamespace(deepspeed_plugin=None)

        @staticmethod
        def wait_for_everyone():
            raise AssertionError("it went on")


HOLD = """
import sys
from runtime.lock import RunLock
with RunLock(sys.argv[1], "training run"):
    print("held", flush=True)
    input()
"""


def test_a_second_training_is_refused_and_deletes_nothing(tmp_path):
    half = tmp_path / "checkpoint-2"
    half.mkdir()
    (half / INCOMPLETE).write_text("being written by the first run")
    NeverTrains.args.output_dir = str(tmp_path)
    with RunLock(tmp_path / ".lock", "training run"), pytest.raises(InputError) as error:
        train(NeverTrains, None)
    assert (error.value.field, error.value.value) == ("training run", "locked")
    assert half.is_dir()


def test_a_killed_training_holds_nothing(tmp_path):
    NeverTrains.args.output_dir = str(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(InputError) as error:
        train(NeverTrains, None)
    assert f"process {child.pid} " in error.value.hint
    child.send_signal(signal.SIGKILL)
    child.wait()
    with pytest.raises(AssertionError, match="it went on"):
        train(NeverTrains, None)
