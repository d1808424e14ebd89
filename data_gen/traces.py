"""The scripted stage of data generation: a corpus's questions and trees, and the expert's walks over them."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.progress import track

from data_gen.corpora import load_corpus, write_corpus
from data_gen.expert import Expert
from navigation import EnvironmentFactory, Limits, Question, Trajectory, TreeStore, repeats, run, write_json
from navigation.files import write_jsonl


def write_questions(
    name: str, data: str | Path | None, out: str | Path, seed: int = 0, limit: int | None = None
) -> dict[str, Any]:
    """Writes `questions.jsonl`, `trees/` and `skipped.jsonl` of a corpus; returns its counts."""
    return write_corpus(load_corpus(name, data, seed, limit), out)


def write_traces(
    name: str, data: str | Path | None, out: str | Path, seed: int = 0, limit: int | None = None, wander: float = 0.35,
    samples: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Everything `make sft` needs: questions, trees, the expert's trajectories, and `stats.json`.

    Args:
        name: Corpus.
        data: Its folder as downloaded; None for a generated one.
        out: Folder to write.
        wander: See `data_gen.expert.Expert`.
        samples: Walks for each question.

    Questions without clue intervals get no walk and are counted; so are those whose video has no tree.
    """
    out = Path(out)
    corpus = load_corpus(name, data, seed, limit)
    stats = write_corpus(corpus, out)
    trees = TreeStore(out / "trees", capacity=1)
    walkable = [question for question in corpus.questions if question.clue_intervals and question.video_id in trees]
    # Trees are opened once each when a video's questions come together.
    walkable.sort(key=lambda question: question.video_id)
    trajectories = asyncio.run(_walk(walkable, trees, seed, wander, samples))
    write_jsonl(out / "trajectories.jsonl", (trajectory.to_dict() for trajectory in trajectories))
    stats["walks"] = {
        "teacher": "expert", "wander": wander, "seed": seed,
        "without_clues": sum(not question.clue_intervals for question in corpus.questions),
        "without_tree": sum(question.video_id not in trees for question in corpus.questions),
        **walk_stats(trajectories),
    }  # fmt: skip
    write_json(out / "stats.json", stats)
    return stats


async def _walk(
    questions: list[Question], trees: TreeStore, seed: int, wander: float, samples: int
) -> list[Trajectory]:
    expert = Expert(questions, seed, wander)
    environment = EnvironmentFactory(trees)()
    walks = []
    for question in track(questions, description="Walking"):
        for sample in range(samples):
            trajectory = await run(expert, environment, question, Limits(turns=30), sample)
            trajectory.seconds = 0.0  # the clock is no part of the record: the same seed writes the same file
            trajectory.teacher = {"model": "expert", "hints": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0}
            walks.append(trajectory)
    return walks


def walk_stats(trajectories: list[Trajectory]) -> dict[str, Any]:
    """Counts and means over walks."""
    if not trajectories:
        return {"trajectories": 0}
    visits = [visit for trajectory in trajectories for visit in trajectory.visits]
    return {
        "trajectories": len(trajectories),
        "right": sum(trajectory.correct for trajectory in trajectories),
        "statuses": dict(Counter(trajectory.status.value for trajectory in trajectories)),
        "mean_visits": round(fmean(len(trajectory.visits) for trajectory in trajectories), 3),
        "mean_turns": round(fmean(trajectory.turns for trajectory in trajectories), 3),
        "visits_by_tool": dict(Counter(visit.tool for visit in visits)),
        "visits_by_level": {str(level): count for level, count in sorted(Counter(len(v.path) for v in visits).items())},
        "repeated_visits": sum(repeats(trajectory.visits) for trajectory in trajectories),
        "refused_calls": sum(trajectory.refused for trajectory in trajectories),
        "mean_characters": round(fmean(len(json.dumps(trajectory.messages)) for trajectory in trajectories)),
    }
