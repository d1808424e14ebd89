"""Time and memory of turning 33,000 episodes of ten turns, as many as LongVideo-R1 published, into SFT and RL sets.

    python -m benchmarks.sets [--episodes 33000] [--turns 10] [--words 60]

The episodes are generated: nine calls with captions of about 100 words and `--words` words of reasoning a turn, 33
questions a video. The export filters them, near-duplicates included, in a process of its own, whose time and peak
memory are given.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from benchmarks.measure import WORDS, in_process, random_tree
from navigation import (
    Question,
    Status,
    TimeGrid,
    Trajectory,
    TreeStore,
    Visit,
    answer_message,
    assistant_message,
    initial_messages,
)

QUESTIONS_A_VIDEO = 33
DURATION = 1800.0


def make_trajectories(folder: Path, episodes: int, turns: int, words: int) -> int:
    """Writes a traces folder; returns the bytes of its trajectories."""
    chance = random.Random(0)
    trees, grid = TreeStore(folder / "trees"), TimeGrid.for_duration(DURATION)
    paths = list(grid.paths())
    with (
        open(folder / "questions.jsonl", "w", encoding="utf-8") as questions,
        open(folder / "trajectories.jsonl", "w", encoding="utf-8") as trajectories,
    ):
        for number in range(episodes):
            video = f"talk-{number // QUESTIONS_A_VIDEO}"
            if number % QUESTIONS_A_VIDEO == 0:
                tree = random_tree(video, grid, chance)
                trees.save(tree)
            visited = [path for path in chance.sample(paths, turns + 4) if len(path) > 1][: turns - 1]
            start, end = grid.interval(visited[-1])
            text, options = f"Number {number}: which colour has the door?", ("red", "blue", "green")
            question = Question(f"bench/{number}", video, text, options, "B", ((start, end),), DURATION)
            questions.write(json.dumps(question.to_dict()) + "\n")
            messages = initial_messages(question, trees[video])
            for path in visited:
                thought = " ".join(chance.choices(WORDS, k=words))
                messages.append(assistant_message(thought, calls=[("get_caption", {"segment": list(path)})]))
                messages.append({"role": "tool", "name": "get_caption", "content": tree.captions[path]})
            messages.append(answer_message(" ".join(chance.choices(WORDS, k=words)), "B"))
            visits = [Visit("get_caption", path) for path in visited]
            episode = Trajectory(
                f"{question.id}#0", question.id, video, messages, [], "B", True, Status.ANSWERED, visits, turns=turns
            )
            trajectories.write(json.dumps(episode.to_dict()) + "\n")
    return (folder / "trajectories.jsonl").stat().st_size


def export(folder: Path) -> dict[str, float]:
    """Exports in this process."""
    from data_gen.sets import export_sets

    begun = time.monotonic()
    report = export_sets(folder, folder / "sets")
    seconds = time.monotonic() - begun
    out = sum(path.stat().st_size for path in (folder / "sets").rglob("*.parquet"))
    return {"seconds": seconds, "kept": report.filter.kept, "rl": sum(report.rl.values()), "out": out}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=33_000)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--words", type=int, default=60, help="words of reasoning a turn")
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.export:
        print(json.dumps(export(options.export)))
        return
    with tempfile.TemporaryDirectory() as name:
        size = make_trajectories(Path(name), options.episodes, options.turns, options.words)
        made = in_process("benchmarks.sets", "--export", name)
    print(
        f"{options.episodes:,} episodes of {options.turns} turns, {size / 1e6:,.0f} MB -> {made['kept']:,} SFT rows, "
        f"{made['rl']:,} RL rows, {made['out'] / 1e6:,.0f} MB: {made['seconds']:.1f} s, {made['cpu_s']:.1f} CPU-s, "
        f"peak {made['peak_mb']:,.0f} MB"
    )


if __name__ == "__main__":
    main()
