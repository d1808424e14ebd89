"""What the presets of SFT take on a device, and how long, against the GPUs that are here: `clipscout doctor`."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from clipscout.doctor import Finding

ROOT = Path(__file__).parents[1]
SHAPE = ROOT / "configs" / "model" / "qwen3_8b_random.yaml"
PRESETS = {"qwen3_8b_full_zero3": "node_zero3", "qwen3_8b_lora_1gpu": "gpu"}
"""Presets and their launch files."""
WALKS, WALK_TOKENS = 33_000, 6_500
"""The published set and the mean walk, as docs/scaling.md has them."""


def sft_memory() -> Iterator[Finding]:
    """Estimates for full fine-tuning sharded over the GPUs here (eight where there are fewer), and for an adapter."""
    import torch

    from trainer.estimate import GIB, memory, model_config, planned_setup, time

    if not SHAPE.is_file():  # installed without the repository's configs
        return
    model = model_config(str(SHAPE))
    here = torch.cuda.device_count()
    room = min((torch.cuda.mem_get_info(index)[1] / GIB for index in range(here)), default=None)
    for preset, launch in PRESETS.items():
        config = yaml.safe_load((ROOT / "configs" / "sft" / f"{preset}.yaml").read_text(encoding="utf-8"))
        launched = yaml.safe_load((ROOT / "launch" / "accelerate" / f"{launch}.yaml").read_text(encoding="utf-8"))
        setup = planned_setup(config, launched, max(here, 8) if launched["num_processes"] > 1 else 1)
        needed = memory(model, setup).total / GIB
        tokens = WALKS * WALK_TOKENS * config["num_train_epochs"]
        shown = (
            f"{needed:.0f} GiB a device at {setup.tokens:,} tokens, before the allocator's own overhead; "
            f"{WALKS:,} walks, {config['num_train_epochs']} epochs: {time(model, setup, tokens, WALK_TOKENS)}"
        )
        fits = room is None or needed < 0.9 * room
        mend = "shorter max_length, more devices, an adapter, or load_in_4bit: see docs/sft.md"
        yield Finding("ok" if fits else "note", f"SFT by {preset}", shown, mend)
