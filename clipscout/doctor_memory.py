"""What SFT of Qwen3-8B takes on a device, against the GPUs that are here: `clipscout doctor`."""

from collections.abc import Iterator
from pathlib import Path

from clipscout.doctor import Finding

SHAPE = Path(__file__).parents[1] / "configs" / "model" / "qwen3_8b_random.yaml"
TOKENS = 16384


def sft_memory() -> Iterator[Finding]:
    """Estimates for full fine-tuning sharded over the GPUs here (eight where there are fewer), and for an adapter."""
    import torch
    from peft import LoraConfig

    from trainer.estimate import GIB, Setup, memory
    from trainer.estimate_setup import model_config

    if not SHAPE.is_file():  # installed without the repository's configs
        return
    config = model_config(str(SHAPE))
    here = torch.cuda.device_count()
    shards = max(here, 8)
    adapter = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    room = min((torch.cuda.mem_get_info(index)[1] / GIB for index in range(here)), default=None)
    for what, setup in (
        (f"full, ZeRO-3 over {shards}", Setup(TOKENS, devices=shards, stage=3, engine="deepspeed")),
        ("adapter, one device", Setup(TOKENS, adapter=adapter)),
    ):
        needed = memory(config, setup).total / GIB
        shown = f"{needed:.0f} GiB a device at {TOKENS:,} tokens, before the allocator's own overhead"
        fits = room is None or needed < 0.9 * room
        mend = "shorter max_length, more devices, an adapter, or load_in_4bit: see docs/sft.md"
        yield Finding("ok" if fits else "note", f"SFT of Qwen3-8B, {what}", shown, mend)
