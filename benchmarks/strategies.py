"""What each strategy costs as videos grow from ten minutes to a day: `make bench-scale`.

The videos are generated. Every segment has a topic of its own, a caption tells its segment's topic and those of most of
its parts in order, and a leaf shows an object of some colour. A question names the topics on the way to one leaf and
asks for the colour there. So a navigator can find the way, with some guessing where a topic was left out, and the sizes
are those of real trees (`depth: auto`, leaves of at most 16 s). How often a strategy is right here says nothing about
real videos.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib

from evaluation.cost_model import CostModel
from evaluation.drawing import STYLE, label_ends
from evaluation.meter import Meter
from evaluation.policies import make_policy
from evaluation.policies.reader import generator
from evaluation.style import MUTED, colour_of, marker_of, replace_block
from navigation import (
    LETTERS,
    CaptionTree,
    EnvironmentFactory,
    Limits,
    Question,
    TimeGrid,
    TreeStore,
    run,
    write_json,
)
from navigation import (
    SegmentPath as Segment,
)
from navigation.grid import clock

MINUTES = (10, 20, 45, 90, 180, 360, 720, 1440)
POLICIES = ("exhaustive", "retrieval", "uniform", "best_first", "coarse_to_fine", "spotlight", "expert")
COLOURS = ("amber", "black", "crimson", "denim", "ebony", "fawn", "green", "hazel")
TOLD = 0.8
"""Share of its parts that a caption names."""
_SYLLABLES = tuple(first + second for first in "bdfgklmnprtvz" for second in "aiou")
_CEILING = 64


@dataclass(frozen=True, slots=True)
class Point:
    """Means of a policy's episodes on videos of one length. `seconds_measured` is this machine's, all else is exact."""

    policy: str
    duration: float
    depth: int
    leaves: int
    visits: float
    captions: float
    tokens_read: float
    seconds_computed: float
    seconds_on_demand: float
    accuracy: float
    seconds_measured: float


def grown_tree(minutes: float, seed: int) -> CaptionTree:
    """A generated tree of a video of so many minutes."""
    grid = TimeGrid.for_duration(60.0 * minutes, depth="auto")
    video_id = f"grown-{minutes:g}-{seed}"
    captions = {path: _caption(grid, path, video_id) for path in grid.paths()}
    return CaptionTree(video_id, grid, captions, {"captioner": "generated", "told": TOLD})


def grown_questions(tree: CaptionTree, count: int) -> Iterator[Question]:
    """Questions on leaves spread over the video."""
    grid, leaves = tree.grid, tree.grid.width**tree.grid.depth
    for number in range(count):
        leaf = grid.path((2 * number + 1) * leaves // (2 * count), grid.depth)
        way = ", ".join(_topic(leaf[:level]) for level in range(1, grid.depth + 1))
        right = _colour(leaf, tree.video_id)
        others = [colour for colour in COLOURS if colour != right]
        draw = generator("options", tree.video_id, number)
        options = [*draw.sample(others, 3), right]
        draw.shuffle(options)
        yield Question(
            id=f"{tree.video_id}/{number}",
            video_id=tree.video_id,
            question=f"Which colour is shown in {way}?",
            options=tuple(options),
            answer=LETTERS[options.index(right)],
            clue_intervals=(grid.interval(leaf),),
            duration=grid.duration,
            source="scale",
            kind="colour",
        )


async def measure(policy: str, tree: CaptionTree, store: TreeStore, questions: Sequence[Question]) -> Point:
    """Plays one policy on the questions of one video."""
    budget = {"visits": _CEILING} if policy in ("best_first", "coarse_to_fine", "spotlight") else {}
    player = make_policy(policy, store, questions, **budget)
    meter, environment = Meter(CostModel()), EnvironmentFactory(store)()
    reads: list[dict[str, Any]] = []
    right = 0
    begun = time.monotonic()
    for question in questions:
        trajectory = await run(player, environment, question, Limits(turns=_CEILING + 1))
        right += trajectory.correct
        captions = player.index_captions(tree.video_id) or 0
        reads.append(meter.read(trajectory, tree, captions, player.reads_overview))
    seconds = time.monotonic() - begun
    mean = {name: sum(read[name] for read in reads) / len(reads) for name in Point.__slots__ if name in reads[0]}
    return Point(
        policy=policy,
        duration=tree.grid.duration,
        depth=tree.grid.depth,
        leaves=tree.grid.width**tree.grid.depth,
        visits=sum(read["get_caption"] + read["video_qa"] for read in reads) / len(reads),
        **mean,
        accuracy=right / len(questions),
        seconds_measured=round(seconds / len(questions), 4),
    )


def grow(minutes: Sequence[float], policies: Sequence[str], questions: int, seed: int = 0) -> list[Point]:
    """Every policy at every length."""
    points = []
    with tempfile.TemporaryDirectory() as folder:
        store = TreeStore(folder, capacity=1)
        for length in minutes:
            tree = grown_tree(length, seed)
            store.save(tree)
            asked = list(grown_questions(tree, questions))
            for policy in policies:
                points.append(asyncio.run(measure(policy, tree, store, asked)))
                print(f"{clock(60 * length)} {policy}: {points[-1].visits:g} visits", flush=True)
    return points


def draw(points: Sequence[Point], path: Path) -> None:
    """Visits, tokens and seconds against duration, both scales logarithmic."""
    from matplotlib.figure import Figure

    shown = {
        "visits": "visits a question",
        "tokens_read": "tokens read a question",
        "seconds_on_demand": "seconds a question, with its captions",
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(14, 5.2), layout="constrained")
        curves = []
        for axes, (name, label) in zip(figure.subplots(1, 3), shown.items(), strict=True):
            labels = []
            for number, policy in enumerate(dict.fromkeys(point.policy for point in points)):
                line = [
                    (point.duration / 60, max(0.5, getattr(point, name))) for point in points if point.policy == policy
                ]
                xs, ys = zip(*line, strict=True)
                colour = colour_of(policy, number)
                axes.plot(xs, ys, color=colour, marker=marker_of(policy), markersize=5, linewidth=1.6)
                labels.append((ys[-1], policy, colour))
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks([10, 60, 180, 480, 1440], ["10 min", "1 h", "3 h", "8 h", "24 h"])
            low, high = axes.get_ylim()
            ticks = [10**power for power in range(7) if low <= 10**power <= high]
            axes.set_yticks(ticks, [f"{tick:,}".replace(",", " ") for tick in ticks])
            axes.set_xticks([], minor=True)
            axes.set_yticks([], minor=True)
            axes.set_xlim(8, 1440 * 1.15)
            axes.tick_params(which="both", length=0)
            axes.set_title(label)
            axes.set_xlabel("length of the video (log scale)", color=MUTED)
            curves.append((axes, labels))
        # Names stand right of the axes: invisible ones make the layout leave room for them first.
        widest = max((name for _, labels in curves for _, name, _ in labels), key=len)
        for axes, _ in curves:
            axes.annotate(widest, (1, 0.5), (6, 0), xycoords="axes fraction", textcoords="offset points", alpha=0)
        for axes, labels in curves:
            label_ends(figure, axes, labels)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130, facecolor="white", metadata={"Software": None})


def table(points: Sequence[Point]) -> str:
    """Visits of every policy by length, and the sizes of the trees, in Markdown."""
    policies = list(dict.fromkeys(point.policy for point in points))
    lengths = list(dict.fromkeys(point.duration for point in points))
    lines = [
        "| length | levels | leaves | " + " | ".join(policies) + " |",
        "|---" + "|---:" * (len(policies) + 2) + "|",
    ]
    for duration in lengths:
        row = {point.policy: point for point in points if point.duration == duration}
        first = row[policies[0]]
        visits = [row[policy].visits for policy in policies]
        cells = [f"{count:,.4g}" if count < 1000 else f"{count:,.0f}" for count in visits]
        lines.append(f"| {clock(duration)} | {first.depth} | {first.leaves:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/bench-scale"), help="folder of scale.json and scale.png")
    parser.add_argument("--minutes", nargs="+", type=float, default=list(MINUTES))
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--questions", type=int, default=8, help="questions on each video")
    parser.add_argument("--docs", type=Path, help="docs folder, where results/strategies.md is brought up to date")
    options = parser.parse_args()
    points = grow(options.minutes, options.policies, options.questions)
    write_json(options.out / "scale.json", [asdict(point) for point in points])
    (options.out / "scale.md").write_text(table(points), encoding="utf-8")
    draw(points, options.out / "scale.png")
    print(table(points))
    if options.docs is not None:
        draw(points, options.docs / "results" / "images" / "eval_scale.png")
        text = f"Visits a question:\n\n{table(points)}\n![cost against length](images/eval_scale.png)"
        replace_block(options.docs / "results" / "strategies.md", "scale", text)


def _caption(grid: TimeGrid, path: Segment, video_id: str) -> str:
    if grid.is_leaf(path):
        return f"{_topic(path)} shows a thing in {_colour(path, video_id)}."
    draw = generator("told", video_id, path)
    children = ((*path, child) for child in range(1, grid.width + 1))
    parts = (f"{_topic(child)}." if draw.random() < TOLD else "Something else." for child in children)
    return " ".join(f"{_topic(path)}: {part}" for part in parts)


def _topic(path: Segment) -> str:
    """A word for each address: one syllable for each number and one for the level."""
    level = "qwxyjh"[len(path) - 1]
    return level + "".join(_SYLLABLES[(7 * place + child) % len(_SYLLABLES)] for place, child in enumerate(path))


def _colour(path: Segment, video_id: str) -> str:
    return generator("colour", video_id, path).choice(COLOURS)


if __name__ == "__main__":
    main()
