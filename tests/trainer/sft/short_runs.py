"""Short SFT runs on the small world, as a user starts them but in this process."""

import json
from pathlib import Path

from safetensors.torch import load_file

from trainer.recorder import read_metrics
from trainer.sft import main

SHORT = {
    "dtype": "float32", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "max_length": 1024,
    "per_device_train_batch_size": 4, "max_steps": 4, "learning_rate": 1e-3, "logging_steps": 1, "save_steps": 2,
    "save_total_limit": 2, "seed": 3, "report_to": "none", "disable_tqdm": True, "held_out_share": 0.3,
    "lr_scheduler_type": "linear", "save_strategy": "steps",
}  # fmt: skip


def flags(traces, base, out, **options):
    """The command line of a short run."""
    values = {**SHORT, "data": traces, "model_name_or_path": base, "output_dir": out, **options}
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def sft(traces, base, out, **options) -> Path:
    main(flags(traces, base, out, **options))
    return Path(out)


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


def losses(folder) -> dict[int, float]:
    """Training loss by step."""
    return {row["step"]: row["loss"] for row in read_metrics(Path(folder) / "metrics.jsonl") if "loss" in row}


def record(folder):
    return json.loads((Path(folder) / "clipscout.json").read_text())
