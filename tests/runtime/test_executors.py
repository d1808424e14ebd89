import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from navigation import InputError
from runtime import RunLock, executor_logs, make_executor, run_step
from runtime.ranked_run import RankStep


class CountingStep:
    """Writes one file a rank."""

    def __init__(self, out):
        self.out = out

    def run(self, data=None, rank=0, world_size=1):
        (Path(self.out) / f"{rank}-{world_size}").write_text(str(os.getpid()))


def test_one_local_task_runs_in_this_process(tmp_path):
    run_step("local", CountingStep(tmp_path), 1, tmp_path / "logs")
    assert (tmp_path / "0-1").read_text() == str(os.getpid())
    assert not (tmp_path / "logs").exists()


def test_logs_are_kept_apart_by_settings(tmp_path):
    assert executor_logs(tmp_path, {"a": 1}) != executor_logs(tmp_path, {"a": 2})
    assert executor_logs(tmp_path, {"a": 1}) == executor_logs(tmp_path, {"a": 1})


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [("cloud", {}, "executor"), ("local", {"partition": "x"}, "options"), ("slurm", {}, "options")],
)
def test_what_cannot_run_is_refused(tmp_path, kind, options, field):
    with pytest.raises(InputError) as error:
        make_executor(kind, RankStep(None), 2, tmp_path, **options)
    assert error.value.field == field


def test_slurm_writes_a_script_that_runs_every_rank(tmp_path):
    """As far as it goes without a Slurm: the script, and the pickled step that its tasks load."""
    executor = make_executor(
        "slurm", RankStep(None), 7, tmp_path, partition="cpu", time="01:00:00", venv_path="/venv/bin/activate",
        workers=3, job_name="captions",
    )  # fmt: skip
    script = executor.get_launch_file_contents(executor.get_sbatch_args(7), "launch_pickled_pipeline x.pik")
    for line in ("--array=0-6%3", "--partition=cpu", "--time=01:00:00", "source /venv/bin/activate", "--requeue"):
        assert line in script
    assert executor.get_incomplete_ranks() == list(range(7))
    import dill

    loaded = dill.loads(dill.dumps(executor))
    assert type(loaded.pipeline[0]).__module__ == "runtime.ranked_run"


def test_ray_is_built_without_a_cluster(tmp_path):
    """As far as it goes without Ray: the executor takes our options and pickles."""
    import dill

    executor = make_executor("ray", RankStep(None), 4, tmp_path, cpus_per_task=2, workers=2)
    assert (executor.world_size, executor.workers) == (4, 2)
    assert dill.loads(dill.dumps(executor)).tasks == 4


def test_datatrove_markers_do_not_skip_work(tmp_path):
    executor = make_executor("local", RankStep(None), 1, tmp_path / "logs")
    executor.mark_rank_as_completed(0)
    assert not executor.is_rank_completed(0)
    json.dumps(str(executor.logging_dir.path))


WORKERS = r"""
import sys, time
import multiprocess
from runtime import stop_when_orphaned

def work(number):
    stop_when_orphaned()
    import os
    os.write(1, b"%d\n" % os.getpid())  # one write: print() may make two, and two workers share the pipe
    time.sleep(60)

if __name__ == "__main__":
    with multiprocess.get_context("forkserver").Pool(2) as pool:
        pool.map(work, [0, 1], chunksize=1)
"""


def test_workers_die_with_the_process_that_started_them(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "workers.py")], stdout=subprocess.PIPE, text=True)
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(Path(f"/proc/{pid}").exists() for pid in workers)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(alive(pid) for pid in workers))


RUN = """
import sys
from pathlib import Path
from runtime import RunLock, run_step
from steps import SleepingStep

if __name__ == "__main__":
    with RunLock(Path(sys.argv[1]) / "lock"):
        run_step("local", SleepingStep(sys.argv[1]), 2, Path(sys.argv[1]) / "logs")
"""

STEP = """
import time
from pathlib import Path
from datatrove.pipeline.base import PipelineStep
from runtime import stop_when_orphaned

class SleepingStep(PipelineStep):
    name, type = "sleeping", "test"

    def __init__(self, out):
        super().__init__()
        self.out = out

    def run(self, data=None, rank=0, world_size=1):
        stop_when_orphaned()
        (Path(self.out) / f"rank-{rank}").touch()
        time.sleep(300)
"""


def test_a_killed_run_of_several_processes_leaves_none_of_them_and_no_lock(tmp_path):
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "steps.py").write_text(STEP)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path)]
    parent = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(tmp_path.glob("rank-*"))) == 2 or parent.poll() is not None)
    assert parent.poll() is None
    members = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if session(pid) == parent.pid]
    assert len(members) >= 4  # itself, the manager, two workers
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(alive(pid) for pid in members))
    with RunLock(tmp_path / "lock"):
        pass


def wait_until(condition):
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
