"""The Ray actor that runs ranks, in place of datatrove's."""

import os
from collections.abc import Sequence
from typing import Any


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
