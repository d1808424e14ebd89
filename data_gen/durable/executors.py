"""The same step on this machine, on Slurm or on Ray, through datatrove's executors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_gen.durable.fingerprint import settings_hash
from data_gen.durable.orphan import forks_die_with_us
from data_gen.durable.ray_ranks import run_on_ray
from navigation import InputError

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
