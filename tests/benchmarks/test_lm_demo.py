"""`make demo-lm` on a small corpus of the real kind, from the annotations to the table, and once more for nothing."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import lm_demo
from clipscout.main import app
from navigation import InputError
from navigation.question import held_out

ROOT = Path(__file__).parents[2]
PRESET = "smollm2_135m_cpu.yaml"
STEPS = ["Wash the rice", "Peel a carrot", "Boil water", "Chop onions", "Fry garlic", "Serve soup", "Rinse a cup"]
SHORT = {
    "sft": {"max_length": 4096, "gradient_accumulation_steps": 1, "warmup_steps": 0, "save_steps": 1,
            "lr_scheduler_type": "constant", "lr_scheduler_kwargs": None, "eval_strategy": "no"},
    "grpo": {"gradient_accumulation_steps": 1, "num_generations": 4, "max_completion_length": 64,
             "max_turn_tokens": 32, "held_out_questions": 2, "save_steps": 1, "eval_steps": 1, "warmup_steps": 0},
}  # fmt: skip


def annotations(folder: Path) -> Path:
    """Twelve videos whose steps come in turns, as Goal-Step writes them."""
    videos = []
    for number in range(12):
        steps = STEPS[number % 7 :] + STEPS[: number % 7]
        segments = [
            {"start_time": 40.0 * place, "end_time": 40.0 * place + 38, "step_description": text, "step_category": "",
             "summary": [], "segments": []}
            for place, text in enumerate(steps)
        ]  # fmt: skip
        uid = f"video{number}"
        videos.append({"video_uid": uid, "end_time": 300.0, "goal_description": "Cook soup", "segments": segments})
    folder.mkdir()
    (folder / "goalstep_valid.json").write_text(json.dumps({"videos": videos}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("tools", ["get_caption,video_qa", "get_caption,video_qa,search"])
def test_every_stage_runs_and_none_runs_again(tools, tmp_path, monkeypatch):
    data = annotations(tmp_path / "data")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for stage, changes in SHORT.items():
        path = tmp_path / "configs" / stage / PRESET
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    words, base, out = tmp_path / "words", tmp_path / "base", tmp_path / "out"
    for command in (
        ["traces", "--corpus", "goalstep", "--data", str(data), "--out", str(words), "--tools", tools],
        ["tiny-base", "--config", str(ROOT / "configs/model/tiny.yaml"), "--data", str(words), "--out", str(base),
         "--tools", tools],
    ):  # fmt: skip
        app(command, standalone_mode=False)
    given = [
        "--model", str(base), "--data", str(data), "--configs", str(tmp_path / "configs"), "--out", str(out),
        "--sft-steps", "1", "--grpo-steps", "1", "--questions", "3", "--tools", tools,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["lm_demo", *given])
    monkeypatch.chdir(ROOT)
    lm_demo.main()
    searching = lm_demo.SEARCHING if "search" in tools else ()
    for name in (*lm_demo.RULES, *searching, *lm_demo.MODELS):
        summary = json.loads((out / "eval" / name / "summary.json").read_text())
        (figures,) = summary["policies"].values()
        assert figures["questions"] == 3, name
    rows = [json.loads(line) for line in (out / "held_out" / "questions.jsonl").read_text().splitlines()]
    assert all(held_out(row["video_id"], 0.2) for row in rows)
    assert (out / "compare" / "compare.html").is_file()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert len(before) >= 2
    lm_demo.main()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == before
    monkeypatch.setattr(sys, "argv", ["lm_demo", *given, "--sft-steps", "2"])
    with pytest.raises(InputError) as error:
        lm_demo.main()
    assert error.value.field == "settings"
