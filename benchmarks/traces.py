"""Teacher trajectories a minute against a local stub, with durability on, and how near that is to the ideal.

    python -m benchmarks.traces [--trajectories 1200] [--in-flight 8 32 128] [--latency 0.3] [--rounds 3]
    python -m benchmarks.traces --clips [--minutes 10 60]

At most `--trajectories` trajectories are made, and 12 for each request in flight. Every trajectory has seven turns over
captions of about 100 words: six calls and the answer. `--clips` makes one of the calls a `video_qa`, answered from 16
frames decoded out of generated H.264 clips (640x360, keyframe every 10 s), the trajectories divided among the clips.
The stub runs in another process on the same cores. The ideal is in_flight / (turns · latency) trajectories a second,
one request after another for ever; with `video_qa` one more request. CPU and peak memory are those of the process that
runs the teacher, the CPU without its start. A busy machine slows all of it: the best and the median of the rounds are
given.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import cpu_seconds, in_process, peak_mb, random_tree, show
from navigation import (
    GET_CAPTION,
    VIDEO_QA,
    Policy,
    Question,
    Reply,
    Task,
    TimeGrid,
    TreeStore,
    answer_message,
    assistant_message,
    write_jsonl,
)
from runtime.ranked_run import run_ranks

TURNS = 7


class SevenTurns(Policy):
    """A rule policy: five captions, then a sixth or a `video_qa` on the last leaf, then the right answer."""

    name = "seven turns"

    def __init__(self, answers: dict[str, str], clips: bool) -> None:
        self.answers, self.clips = answers, clips

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        turn = sum(message["role"] == "assistant" for message in messages)
        thought = "The captions so far speak of the kitchen and of the street, so the next part may show it. " * 2
        if turn == TURNS - 1:
            return Reply(answer_message(thought, self.answers[task.question.id]))
        chance = random.Random(task.question.id)
        leaf = tuple(chance.randint(1, task.grid.width) for _ in range(3))
        paths = [leaf[:2], (*leaf[:2], leaf[2] % task.grid.width + 1), (leaf[0], leaf[1] % task.grid.width + 1)]
        paths += [(leaf[0] % task.grid.width + 1, 1), leaf, (leaf[0] % task.grid.width + 1, 1, 1)]
        if self.clips and turn == TURNS - 2:
            query = f"Which colour has the door? ({task.question.id})"
            return Reply(assistant_message(thought, calls=[(VIDEO_QA, {"segment": list(leaf), "query": query})]))
        return Reply(assistant_message(thought, calls=[(GET_CAPTION, {"segment": list(paths[turn])})]))


def make_corpus(folder: Path, trajectories: int, videos: dict[str, float]) -> list[Question]:
    """Questions over generated trees of 100-word captions."""
    trees = TreeStore(folder / "trees")
    for video_id, duration in videos.items():
        trees.save(random_tree(video_id, TimeGrid.for_duration(duration), random.Random(video_id)))
    names = list(videos)
    questions = []
    for number in range(trajectories):
        video = names[number % len(names)]
        text, options = f"Number {number}: which colour has the door?", ("red", "blue", "green", "white")
        questions.append(Question(f"bench/{number}", video, text, options, "B", ((1.0, 5.0),), videos[video]))
    write_jsonl(folder / "questions.jsonl", (question.to_dict() for question in questions))
    return questions


async def serve(folder: Path, latency: float, clips: bool) -> None:
    from benchmarks.teacher_server import TeacherServer
    from navigation import read_questions

    questions = list(read_questions(folder / "questions.jsonl"))
    policy = SevenTurns({question.id: question.answer for question in questions}, clips)
    server = TeacherServer(questions, TreeStore(folder / "trees", 2000), policy, latency=latency)
    print(await server.start(), flush=True)
    await asyncio.Event().wait()


def measure(folder: Path, url: str, in_flight: int, tasks: int, videos: Path | None) -> dict[str, Any]:
    """One run in this process; the folder's earlier run is removed."""
    from data_gen.teacher import Pace, TeacherJob, TeacherSettings
    from runtime import EndpointSettings

    shutil.rmtree(folder / ".run", ignore_errors=True)
    settings = TeacherSettings("stub", clip_model="stub" if videos else "")
    endpoint = EndpointSettings(url, "stub", in_flight)
    pace = Pace(in_flight, 4 * in_flight)
    clip_endpoint = endpoint if videos else None
    job = TeacherJob(folder, settings, endpoint, tasks, videos, clip_endpoint, pace=pace)
    before = cpu_seconds()
    report = run_ranks(job, quiet=True)
    if not report.complete or set(report.terminations) != {"right"}:
        raise RuntimeError(f"the run is not what it should be: {report.to_dict()}")
    return {
        "seconds": report.seconds,
        "trajectories": report.trajectories,
        "requests": report.usage.requests,
        "cpu": cpu_seconds() - before,
        "mb": peak_mb(),
    }


def rounds(options: argparse.Namespace, in_flight: int, videos: dict[str, float], files: Path | None) -> list[dict]:
    """Runs in fresh processes against a fresh stub."""
    made = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_corpus(folder, min(options.trajectories, 12 * in_flight), videos)
        clips = ["--clips"] if files else []
        serving = [
            sys.executable,
            "-m",
            "benchmarks.traces",
            "--serve",
            str(folder),
            "--latency",
            str(options.latency),
            *clips,
        ]
        with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as stub:
            assert stub.stdout is not None
            try:
                url = stub.stdout.readline().strip()
                for _ in range(options.rounds):
                    one = ["--measure", folder, "--url", url, "--in-flight", in_flight, "--tasks", options.tasks]
                    made.append(in_process("benchmarks.traces", *one, *(["--videos", files] if files else [])))
            finally:
                stub.terminate()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=1200)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=1, help="processes")
    parser.add_argument("--clips", action="store_true", help="one video_qa a trajectory, from generated clips")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60])
    for hidden in ("--serve", "--measure", "--videos"):
        parser.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve, options.latency, options.clips))
        return
    if options.measure:
        print(json.dumps(measure(options.measure, options.url, options.in_flight[0], options.tasks, options.videos)))
        return
    with tempfile.TemporaryDirectory() as name:
        files = None
        videos = {f"talk-{number}": 1800.0 for number in range(20)}
        if options.clips:
            from benchmarks.captions import make_video

            files, videos = Path(name), {}
            for minutes in options.minutes:
                clip = make_video(minutes)
                os.symlink(clip, files / clip.name)
                videos[clip.stem] = minutes * 60.0
        report(options, videos, files)


def report(options: argparse.Namespace, videos: dict[str, float], files: Path | None) -> None:
    what = "one video_qa each" if files else "captions only"
    title = f"Trajectories of {TURNS} turns, {options.latency} s a reply, {what}, {options.rounds} rounds"
    columns = ["in flight", "trajectories", "trajectories/min best", "median", "ideal", "best/ideal"]
    rows = []
    for in_flight in options.in_flight:
        made = rounds(options, in_flight, videos, files)
        rates = [60 * each["trajectories"] / each["seconds"] for each in made]
        ideal = 60 * in_flight / ((TURNS + bool(files)) * options.latency)
        cpu = median(each["cpu"] / each["trajectories"] for each in made)
        speeds = [f"{rate:,.0f}" for rate in (max(rates), median(rates), ideal)]
        peak = max(each["mb"] for each in made)
        rows.append([str(in_flight), str(made[0]["trajectories"]), *speeds, f"{max(rates) / ideal:.2f}"])
        rows[-1] += [f"{cpu:.4f}", f"{peak:.0f}"]
    show(title, [*columns, "CPU-s a trajectory", "peak MB"], rows, width=120)


if __name__ == "__main__":
    main()
