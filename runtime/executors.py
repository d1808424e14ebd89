"""The same step on this machine, on Slurm or on Ray, through datatrove's executors, leaving no orphan behind."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import multiprocess

from navigation import InputError
from runtime.fingerprint import settings_hash

_PR_SET_PDEATHSIG = 1
_tied = False


def stop_when_orphaned() -> None:
    """Ends this process by SIGKILL as soon as the process that started it as a worker is gone; else does nothing.

    For worker processes of datatrove's pools (local with several tasks, Ray). All our work is in journals, so the
    hardest end is also the safe one. A process that is no worker is left alone.
    """
    parent = multiprocess.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="orphan watch", daemon=True).start()


@contextmanager
def forks_die_with_us() -> Iterator[None]:
    """Processes forked meanwhile are killed by the kernel as soon as this one is gone.

    For the manager process of datatrove's local executor, which would otherwise wait for ever for one that was killed.
    On Linux; elsewhere it does nothing.
    """
    global _tied
    before, _tied = _tied, True
    try:
        yield
    finally:
        _tied = before


def _tie() -> None:
    if _tied and hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_libc = ctypes.CDLL(None)
os.register_at_fork(after_in_child=_tie)


class InProcessRankWorker:
    """Does what `datatrove.executor.ray.RankWorker` does, without a pool of child processes.

    Ray sends the class by name: the machines of the cluster need ClipScout installed.
    """

    def get_node_ip(self) -> str:
        import ray

        return ray.util.get_node_ip_address()

    def run_for_rank(self, executor: Any, ranks: Sequence[int], node_ips: Sequence[str], node_idx: int) -> Any:
        """Runs ranks one after another; returns datatrove's statistics, which are empty as theirs are."""
        from datatrove.utils.stats import PipelineStats

        os.environ["RAY_NODELIST"] = ",".join(node_ips)
        os.environ["RAY_NODEID"] = str(node_idx)
        for number, rank in enumerate(ranks):
            executor._run_for_rank(rank, number, node_rank=-1 if executor.nodes_per_task == 1 else node_idx)
        return PipelineStats()


INSTALL = "pip install -e '.[ray]'"


def connect_to_ray() -> Any:
    """The `ray` module, connected: to the cluster of RAY_ADDRESS, or to one of this machine's own.

    Raises:
        InputError: Ray is not installed, or no cluster answers at RAY_ADDRESS.
    """
    try:
        import ray
    except ImportError:
        raise InputError("executor", "ray", "not installed", INSTALL) from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS")
        # Its address is loopback, but some of Ray's ports listen on all addresses: whoever reaches one can run code.
        own: dict[str, Any] = {} if address else {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
        try:
            ray.init(address=address, log_to_driver=False, **own)
        except ConnectionError as error:
            hint = "start it with `ray start --head`, or unset RAY_ADDRESS for one on this machine"
            raise InputError("environment", "RAY_ADDRESS", address, f"{hint} ({error})") from None
    return ray


def run_on_ray(executor: Any) -> None:
    """Runs a datatrove Ray executor.

    datatrove runs each rank in a child of its Ray worker. Such a child goes on alone when the worker is killed, and the
    worker waits for ever when the child is. Here the worker does the work itself: whatever is killed is the worker, Ray
    tells at once, and datatrove starts the rank again, at most three times.

    Raises:
        InputError: no cluster, or none of its machines can hold one rank.
    """
    ray = connect_to_ray()
    from datatrove.executor import ray as datatrove_ray

    memory = int(executor.mem_per_cpu_gb * executor.cpus_per_task * 2**30)
    wanted = {"CPU": executor.cpus_per_task, "GPU": executor.gpus_per_task, "memory": memory}
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(machine.get(name, 0) >= amount for name, amount in wanted.items()) for machine in machines):
        shown = ", ".join(f"{name} {amount:,}" for name, amount in wanted.items() if amount)
        hint = f"one rank needs {shown}; ask for less, or add a machine: Ray would wait for ever"
        raise InputError("executor ray", "cluster", f"{len(machines)} machines", hint)
    theirs = datatrove_ray.RankWorker
    datatrove_ray.RankWorker = InProcessRankWorker
    try:
        executor.run()
    finally:
        datatrove_ray.RankWorker = theirs


KINDS = ("local", "slurm", "ray")


def executor_logs(out: str | Path, settings: Mapping[str, Any]) -> Path:
    """datatrove's folder for one run: named after its settings, since its files know nothing of them."""
    return Path(out) / ".run" / "logs" / settings_hash(settings)[:12]


def make_executor(kind: str, step: Any, tasks: int, logs: str | Path, **options: Any) -> Any:
    """A datatrove executor that runs `step` (a PipelineStep of an importable module) as `tasks` ranks.

    datatrove's own completion markers are switched off: a finished rank is known by its journals, which know their
    settings. A rank that has nothing left to do ends at once.

    Args:
        kind: `local`, `slurm` or `ray`. Ray needs the extra of that name; it uses the cluster of RAY_ADDRESS, or one of
            this machine's own.
        logs: Folder for logs; on Slurm and Ray one that all machines share.
        options: Passed on. Slurm needs `partition` and `time`; `venv_path` is the environment's `activate` FILE.

    Raises:
        InputError: another kind, fewer than one task, or an option that this executor lacks.
    """
    if tasks < 1:
        raise InputError("executor", "tasks", tasks, "give a whole number of at least 1")
    options.setdefault("workers", tasks if kind == "local" else -1)
    common = {"pipeline": [step], "tasks": tasks, "logging_dir": str(logs), "skip_completed": False}
    try:
        if kind == "local":
            from datatrove.executor.local import LocalPipelineExecutor

            return LocalPipelineExecutor(**common, **options)
        if kind == "slurm":
            from datatrove.executor.slurm import SlurmPipelineExecutor

            # datatrove submits a last job that sums statistics up; were a rank to fail, it would wait for ever.
            sbatch_args = {"kill-on-invalid-dep": "yes", **options.pop("sbatch_args", {})}
            options["sbatch_args"] = sbatch_args
            return SlurmPipelineExecutor(**common, **options)
        if kind == "ray":
            from datatrove.executor.ray import RayPipelineExecutor

            return RayPipelineExecutor(**common, **options)
    except TypeError as error:
        raise InputError(f"executor {kind}", "options", sorted(options), str(error)) from None
    raise InputError("executor", "executor", kind, f"give one of {', '.join(KINDS)}")


def run_step(kind: str, step: Any, tasks: int, logs: str | Path, **options: Any) -> None:
    """Runs the step to its end; on Slurm, submits it and returns.

    One local task runs in this very process: no executor, no child process, no waiting for one.
    """
    if kind == "local" and tasks == 1:
        for _ in step.run(None, 0, 1) or ():
            pass
        return
    executor = make_executor(kind, step, tasks, logs, **options)
    if kind == "ray":
        run_on_ray(executor)
    elif kind == "local":
        with forks_die_with_us():
            executor.run()
    else:
        executor.run()
