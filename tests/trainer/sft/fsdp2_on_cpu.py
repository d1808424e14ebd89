"""`trainer.sft` in processes that accelerate takes for GPUs: it shards by FSDP2 there alone, and gloo can do it too.

torchrun --nproc_per_node 2 fsdp2_on_cpu.py [--flag value …]
"""

from accelerate.state import DistributedType, PartialState

from trainer.run import ended
from trainer.sft import main

PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)

if __name__ == "__main__":
    ended(main)
