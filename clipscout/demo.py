"""The whole road in one command: each stage is the command a user would type, and is skipped when it is done."""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from clipscout.demo_stages import CONSOLE, Stages, same_settings, stage_seconds
from clipscout.evaluate import policy_table
from clipscout.training import training_command
from navigation import (
    InputError,
    Question,
    read_questions,
    write_json,
    write_jsonl,
)
from navigation.question import first_by_hash, held_out

CONFIGS = Path("configs")
READ = ("demo.yaml", "model/tiny.yaml", "sft/tiny_cpu.yaml", "grpo/tiny_cpu.yaml")
PLAYERS: dict[str, dict[str, Any]] = {
    "expert": {"policy": "expert"},
    "exhaustive": {"policy": "exhaustive"},
    "retrieval": {"policy": "retrieval", "visits": 4},
    "uniform": {"policy": "uniform", "visits": 4},
    "random": {"policy": "random", "visits": 4},
    "base": {"policy": "local", "model": "base", "episode-tokens": 512, "turn-tokens": 128},
    "sft": {"policy": "local", "model": "sft", "episode-tokens": 512, "turn-tokens": 128},
    "grpo": {"policy": "local", "model": "grpo", "episode-tokens": 512, "turn-tokens": 128},
}


def run_demo(out: Path, seed: int) -> None:
    """Trajectories, base, SFT, GRPO, evaluation of every player on the same held-out questions, summary and report.

    A stage that finished is not run again; a training stage that was killed goes on from its last checkpoint, an
    evaluation from its last episode. Evaluations that need no training yet to come are played beside it.

    Raises:
        InputError: `out` holds a run of another seed or of other configs, or a stage failed.
    """
    if not CONFIGS.is_dir():
        raise InputError(Path.cwd(), "configs", "not there", "run the demo from the root of the repository")
    out.mkdir(parents=True, exist_ok=True)
    hashes = {name: hashlib.sha256((CONFIGS / name).read_bytes()).hexdigest()[:12] for name in READ}
    same_settings(out, {"seed": seed, "configs": hashes})
    begun = time.monotonic()
    traces, asked, share = out / "traces", out / "held_out", str(_demo("held_out_share"))
    clipscout = [sys.executable, "-m", "clipscout.main"]
    limit = ["--limit", str(_demo("corpus_questions"))] if _demo("corpus_questions") else []
    trajectories = ["--corpus", "small_world", "--out", str(traces), "--seed", str(seed)]
    trajectories += ["--wander", str(_demo("wander")), *limit]
    base = ["--config", str(CONFIGS / "model/tiny.yaml"), "--data", str(traces), "--out", str(out / "base")]

    def played(name: str) -> tuple[str, list[str]]:
        options = [f"--{key}={out / value if key == 'model' else value}" for key, value in PLAYERS[name].items()]
        return f"evaluate {name}", [
            *clipscout, "eval", "--data", str(asked), "--trees", str(traces / "trees"), "--seed", str(seed),
            "--out", str(out / "eval" / name), *options,
        ]  # fmt: skip

    count = 5 + len(PLAYERS)
    with Stages(out, count) as stages:
        stages.run("trajectories", [*clipscout, "traces", *trajectories])
        # Every player answers these.
        write_jsonl(asked / "questions.jsonl", (question.to_dict() for question in held_out_questions(out / "traces")))
        stages.run("base", [*clipscout, "tiny-base", *base, "--seed", str(seed)])
        # Training is on one core; whoever can play already does so on the other.
        for name in PLAYERS:
            if name not in ("sft", "grpo"):
                stages.beside(*played(name))
        stages.run("sft", _training("sft", traces, out / "base", out / "sft", seed, share))
        stages.beside(*played("sft"))
        stages.run("grpo", _training("grpo", traces, out / "sft", out / "grpo", seed, share))
        stages.run(*played("grpo"))
        stages.join()
    CONSOLE.rule(f"{count}/{count} report")
    summary = _summary(out, seed)
    write_json(out / "summary.json", summary)
    path = write_demo_report(out)
    policy_table(summary["policies"])
    CONSOLE.print(f"{out / 'summary.json'}\n{path}\nthis call took {time.monotonic() - begun:.0f} s", highlight=False)


def write_demo_report(out: Path) -> Path:
    """Writes `report.html` from a finished run's files."""
    from clipscout.report import NAME, demo_facts, write_runs_report
    from clipscout.view.runs import find_runs

    if not (out / "summary.json").is_file():
        raise InputError(out, "summary.json", "not there", "run `make demo` first")
    return write_runs_report(find_runs([out]), out / NAME, facts=demo_facts(out))


def held_out_questions(traces: Path) -> list[Question]:
    """The held-out questions that every player answers: none by which GRPO chose its policy, if others are left."""
    share = float(_demo("held_out_share"))
    held = [question for question in read_questions(traces / "questions.jsonl") if held_out(question.video_id, share)]
    played = yaml.safe_load((CONFIGS / "grpo/tiny_cpu.yaml").read_text(encoding="utf-8"))["held_out_questions"]
    choosing = set(first_by_hash([question.id for question in held], played))
    others = [question for place, question in enumerate(held) if place not in choosing]
    return (others or held)[: _demo("questions")]


def _demo(key: str) -> Any:
    return yaml.safe_load((CONFIGS / "demo.yaml").read_text(encoding="utf-8"))[key]


def _training(stage: str, traces: Path, start: Path, output: Path, seed: int, share: str) -> list[str]:
    config = CONFIGS / stage / "tiny_cpu.yaml"
    more = ["--held_out_share", share]
    return training_command(stage, config, more=more, data=traces, model=start, out=output, seed=seed)


def _summary(out: Path, seed: int) -> dict[str, Any]:
    policies = {}
    for name in PLAYERS:
        summary = json.loads((out / "eval" / name / "summary.json").read_text(encoding="utf-8"))
        (policies[name],) = summary["policies"].values()
    seconds, stages, restarted = stage_seconds(out)
    return {
        "policies": policies, "seconds": seconds, "seed": seed, "stage_seconds": stages, "restarted": restarted,
    }  # fmt: skip
