"""A newcomer's first hour: a fresh clone, a folder of one's own from a page, and every stage up to the pages."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks_of

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or not (ROOT / ".git").exists(), reason="needs make and a repository to clone"
)
DRY = ("sft qwen3_8b_full_zero3 node_zero3", "rl qwen3_8b_lora_1gpu gpu")
TINY = "--max_steps 3 --per_device_train_batch_size 2 --gradient_accumulation_steps 1"


class Newcomer:
    """Types commands in a clone that has no sibling folder and a home of its own."""

    def __init__(self, folder):
        self.clone = folder / "clone"
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, self.clone], check=True)
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        for name, module in (("python", ""), ("clipscout", "-m clipscout.main ")):
            (bin_folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module}"$@"\n')
            (bin_folder / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLIPSCOUT_", "HF_"))}
        self.environment = kept | {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.clone),
            "HOME": str(folder),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }

    def types(self, command):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=self.clone, env=self.environment, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def own_folder(self):
        """The block of the page about one's own corpus; it ends with runs/mine."""
        (block,) = [each for each in blocks_of(self.clone / "docs" / "corpora.md") if "runs/own/steps.csv" in each.text]
        self.types(block.text)
        return self.clone / "runs" / "mine"


def lines(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_questions_trajectories_sets_and_files_of_other_tools(tmp_path):
    newcomer = Newcomer(tmp_path)
    mine = newcomer.own_folder()
    questions, trajectories = lines(mine / "questions.jsonl"), lines(mine / "trajectories.jsonl")
    assert {question["video_id"] for question in questions} == {"kitchen", "garden", "workshop", "harbour"}
    assert len(trajectories) == len(questions) > 40
    said = newcomer.types("make traces DATA=runs/mine ARGS='--limit 9 --out runs/few' && make dataset DATA=runs/mine")
    assert "random sample" in said
    assert len(lines(newcomer.clone / "runs" / "few" / "trajectories.jsonl")) == 9
    kept = json.loads((mine / "sets" / "figures.json").read_text())["filter"]
    assert kept["kept"] > 0.7 * len(trajectories)
    newcomer.types("clipscout export runs/mine/sets --format ms-swift --out runs/swift")
    assert len(lines(newcomer.clone / "runs" / "swift" / "train.jsonl")) > 20


@pytest.mark.slow
def test_the_first_hour_up_to_the_pages(tmp_path):
    newcomer = Newcomer(tmp_path)
    mine = newcomer.own_folder()
    runs = newcomer.clone / "runs"
    newcomer.types("make dataset DATA=runs/mine")
    newcomer.types("clipscout tiny-base --data runs/mine --out runs/base")
    for stage, preset, launch in map(str.split, DRY):
        config = f"{stage.upper()}_CONFIG=configs/{'sft' if stage == 'sft' else 'grpo'}/{preset}.yaml"
        given = f"LAUNCH=launch/accelerate/{launch}.yaml DATA=runs/mine MODEL=runs/base OUT=runs/dry_{stage}"
        # The small base holds 2,048 tokens, the preset's episodes more.
        more = "--max_completion_length 1024" if stage == "rl" else ""
        said = newcomer.types(f"make {stage} {config} {given} ARGS='--dry-run {more}'")
        assert "Traceback" not in said
        assert (runs / f"dry_{stage}" / "resolved_config.yaml").is_file()
    newcomer.types(f"make sft DATA=runs/mine MODEL=runs/base OUT=runs/sft ARGS='{TINY}'")
    newcomer.types(
        "make eval DATA=runs/mine POLICY=local MODEL=runs/sft ARGS='--limit 4 --episode-tokens 96 --turn-tokens 32'"
    )
    newcomer.types("clipscout report runs/eval runs/mine-eval --data runs/mine --out runs/report.html")
    page = (runs / "report.html").read_text()
    assert "local" in page
    assert "mine-eval" in page
    newcomer.types("clipscout view runs/eval --data runs/mine --export runs/view.html")
    assert mine.is_dir()
    assert "kitchen" in (runs / "view.html").read_text() or "garden" in (runs / "view.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("field", "more"), [("model_name_or_path", ""), ("data", "DATA=runs/nowhere")])
def test_what_is_missing_is_one_line_with_a_hint(tmp_path, field, more):
    newcomer = Newcomer(tmp_path)
    newcomer.own_folder()
    config = "SFT_CONFIG=configs/sft/qwen3_8b_lora_1gpu.yaml"
    command = f"make sft {config} {more or 'DATA=runs/mine'} ARGS=--dry-run || true"
    said = [line for line in newcomer.types(command).splitlines() if line.startswith("error:")]
    assert len(said) == 1
    assert f"{field} is" in said[0]
    assert "Traceback" not in "".join(said)
