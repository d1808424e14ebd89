"""How a batch script stops: the trainer saves while its servers still answer, then they end, then it is requeued.

The real launch/slurm scripts, with Slurm's commands played by small programs that treat signals as Slurm does:
`scancel` of a job reaches all its steps, and srun answers SIGTERM by killing its tasks.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRUN = r"""#!/usr/bin/env python3
import os, pathlib, signal, subprocess, sys
record = pathlib.Path(os.environ["RECORD"])
words = sys.argv[1:]
while words[0].startswith("--"):
    words.pop(0)
number = 0
while True:
    try:
        step = record / f"step-{number}"
        step.mkdir()
        break
    except FileExistsError:
        number += 1
task = subprocess.Popen(
    words, start_new_session=True,
    env={**os.environ, "SLURM_STEP_ID": str(number), "SLURM_PROCID": "0", "SLURM_STEP_NUM_NODES": "1"},
)
def end(*_):
    os.killpg(task.pid, signal.SIGKILL)
signal.signal(signal.SIGTERM, end)
(step / "group").write_text(str(task.pid))
sys.exit(task.wait() % 256)
"""
SCANCEL = r"""#!/usr/bin/env python3
import os, pathlib, signal, sys
record = pathlib.Path(os.environ["RECORD"])
job, _, step = sys.argv[2].partition(".")
assert sys.argv[1] == "--signal=TERM" and job == "7"
for group in record.glob(f"step-{step or '*'}/group"):
    try:
        os.killpg(int(group.read_text()), signal.SIGTERM)
    except ProcessLookupError:
        pass
"""
SCONTROL = r"""#!/usr/bin/env bash
if [[ $1 == show ]]; then echo n1; echo n2; echo n3; else echo "$*" >>"$RECORD/events"; kill -KILL "$PPID"; fi
"""
CURL = r"""#!/usr/bin/env bash
echo '{"data":[{"id":"policy"},{"id":"vision"}]}'
"""
SERVER = r"""#!/usr/bin/env python3
import os, pathlib, signal
events = pathlib.Path(os.environ["RECORD"]) / "events"
def end(*_):
    with open(events, "a") as file:
        file.write("server told to stop\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
(events.parent / "server").write_text(str(os.getpid()))
while True:
    signal.pause()
"""
TRAINER = r"""#!/usr/bin/env python3
import os, pathlib, signal, sys, time
record = pathlib.Path(os.environ["RECORD"])
def note(*_):
    server = int((record / "server").read_text())
    try:
        os.kill(server, 0)
        alive = "up"
    except ProcessLookupError:
        alive = "gone"
    # A checkpoint takes its time; whoever kills us meanwhile leaves this line unwritten.
    time.sleep(0.5)
    with open(record / "events", "a") as file:
        file.write(f"trainer saved, server {alive}\n")
    os._exit(75)
if not (record / "deaf").exists():
    signal.signal(signal.SIGTERM, note)
(record / "flags").write_text("\n".join(sys.argv[1:]))
(record / "training").touch()
while True:
    signal.pause()
"""


@pytest.fixture
def job(tmp_path):
    """Starts grpo.sbatch, one trainer and one policy server; every process it leaves is killed at the end."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"PATH={programs}:$PATH\n")
    for name, text in {
        "srun": SRUN, "scancel": SCANCEL, "scontrol": SCONTROL, "curl": CURL, "accelerate": TRAINER,
        "server": SERVER,
    }.items():  # fmt: skip
        (programs / name).write_text(text.replace("/usr/bin/env python3", sys.executable))
        (programs / name).chmod(0o755)
    (tmp_path / "server.sh").write_text('exec "$(dirname "$0")/venv/bin/server"\n')
    begun = []

    def start(**environment):
        begun.append(subprocess.Popen(
            ["bash", str(ROOT / "launch" / "slurm" / "grpo.sbatch")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
            env={
                **os.environ, "CLIPSCOUT": str(ROOT), "VENV": str(programs.parent), "LOGS": str(tmp_path / "logs"),
                "RECORD": str(tmp_path), "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "grpo", "SLURM_JOB_NUM_NODES": "2",
                "SLURM_JOB_NODELIST": "n[1-2]", "CONFIG": "x.yaml", "POLICY": "runs/sft", "TRAINER_NODES": "1",
                "POLICY_NODES": "1", "VISION_NODES": "0", "POLICY_SERVER": str(tmp_path / "server.sh"),
                "ADDRESS_OF_NODES": "127.0.0.1", **environment,
            },
        ))  # fmt: skip
        return begun[-1]

    yield start
    groups = [int(path.read_text()) for path in tmp_path.glob("step-*/group")] + [each.pid for each in begun]
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for each in begun:
        each.communicate()


def until(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


def events(folder):
    path = folder / "events"
    return path.read_text().splitlines() if path.exists() else []


def test_the_trainer_saves_while_its_server_goes_on(job, tmp_path):
    script = job()
    until((tmp_path / "training").exists, script)
    script.send_signal(signal.SIGUSR1)
    said, _ = script.communicate(timeout=120)
    assert events(tmp_path) == ["trainer saved, server up", "requeue 7"], said


def test_a_trainer_that_does_not_listen_is_ended_and_the_job_requeued_all_the_same(job, tmp_path):
    (tmp_path / "deaf").touch()
    script = job(SAVE_SECONDS="1")
    until((tmp_path / "training").exists, script)
    script.send_signal(signal.SIGUSR1)
    said, _ = script.communicate(timeout=120)
    assert events(tmp_path) == ["requeue 7"], said


def test_a_start_forgets_the_step_of_the_one_before(job, tmp_path):
    step = tmp_path / "logs" / "grpo-7" / "training-step"
    step.parent.mkdir(parents=True)
    step.write_text("7.99\n")
    script = job()
    until((tmp_path / "training").exists, script)
    # Steps of the stand-in for srun are numbered as they begin, the server's and the trainer's at the same time.
    assert step.read_text() in ("7.0\n", "7.1\n")


def test_the_trainer_is_told_where_both_servers_are(job, tmp_path):
    script = job(VISION_NODES="1", VISION="vision", SLURM_JOB_NUM_NODES="3", VISION_SERVER=str(tmp_path / "server.sh"))
    until((tmp_path / "training").exists, script)
    flags = (tmp_path / "flags").read_text().splitlines()
    told = dict(pairwise(flags))
    assert told["--vllm_server_base_url"] == "http://127.0.0.1:8000"
    assert told["--server_log"] == str(tmp_path / "logs" / "grpo-7" / "policy.log")
    assert told["--clip_url"] == "http://127.0.0.1:8100/v1"
    assert told["--clip_model"] == "vision"
