"""The memory tables of the pages say what the estimator computes for the configs and launch files that they name."""

from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
import yaml

from trainer.estimate import GIB, Memory, memory, model_config, planned_setup

ROOT = Path(__file__).parents[2]
QWEN3_8B = model_config(str(ROOT / "configs" / "model" / "qwen3_8b_random.yaml"))
LAUNCHED = {"full_zero3": "node_zero3", "full_fsdp2": "node_fsdp2", "lora_1gpu": "gpu"}


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@cache
def estimate(config, launch, devices=None, **flags):
    setup = planned_setup(read(f"configs/{config}") | flags, read(f"launch/accelerate/{launch}"), devices)
    return memory(QWEN3_8B, setup)


def rows(page, head):
    """Cells of the rows of the table whose head begins so."""
    lines = (ROOT / page).read_text(encoding="utf-8").split(head, 1)[1].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_launch_page():
    found = list(rows("launch/README.md", "| launch file | config |"))
    assert len(found) == 6
    for launch, config, *values in found:
        devices = int(launch.split("on ")[1].split()[0]) if " on " in launch else None
        computed = estimate(config.strip("`"), launch.split("`")[1], devices)
        parts = [getattr(computed, part.name) for part in fields(Memory)] + [computed.total]
        assert values == [f"{part / GIB:.1f}" for part in parts], launch


@pytest.mark.parametrize("preset", LAUNCHED)
def test_the_page_of_sft(preset):
    (row,) = [row for row in rows("docs/sft.md", "| preset | trains |") if f"qwen3_8b_{preset}.yaml" in row[0]]
    computed = estimate(f"sft/qwen3_8b_{preset}.yaml", f"{LAUNCHED[preset]}.yaml")
    assert row[2].startswith(f"{computed.total / GIB:.0f} GiB")


def test_the_page_of_sft_in_four_bits():
    (row,) = [row for row in rows("docs/sft.md", "| preset | trains |") if row[1] == "QLoRA"]
    flags = {"load_in_4bit": True, "optim": "paged_adamw_8bit", "max_length": 16384}
    assert "`--load_in_4bit true --optim paged_adamw_8bit --max_length 16384`" in row[0]
    computed = estimate("sft/qwen3_8b_lora_1gpu.yaml", "gpu.yaml", **flags)
    assert row[2].startswith(f"{computed.total / GIB:.0f} GiB")
