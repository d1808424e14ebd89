"""Ranks on Ray that leave no orphan behind and keep nobody waiting."""

import os
from typing import Any

from data_gen.durable.ray_worker import InProcessRankWorker
from navigation import InputError

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
            mend = "start it with `ray start --head`, or unset RAY_ADDRESS for one on this machine"
            raise InputError("environment", "RAY_ADDRESS", address, f"{mend} ({error})") from None
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
        mend = f"one rank needs {shown}; ask for less, or add a machine: Ray would wait for ever"
        raise InputError("executor ray", "cluster", f"{len(machines)} machines", mend)
    theirs = datatrove_ray.RankWorker
    datatrove_ray.RankWorker = InProcessRankWorker
    try:
        executor.run()
    finally:
        datatrove_ray.RankWorker = theirs
