"""Medians of what an episode costs outside the model: opening a tree, beginning an episode, reading a caption.

    python -m benchmarks.navigation [--rounds 2000] [--words 60]

One tree of the published shape for an hour and a half (width 7, depth 3, 399 segments) and one of 584 (width 8), every
caption `--words` long. Times are of one call, in this process.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from statistics import median

from benchmarks.measure import show
from navigation import CaptionTree, NavigationEnvironment, TimeGrid, TreeStore

_TEXT = "a man walks to the red car opens its door and looks inside while two children play with a small dog"
WORDS = _TEXT.split()


def make_tree(video_id: str, grid: TimeGrid, words: int, seed: int = 0) -> CaptionTree:
    rng = random.Random(seed)
    return CaptionTree(video_id, grid, {path: " ".join(rng.choices(WORDS, k=words)) for path in grid.paths()})


def milliseconds(call: Callable[[], object], rounds: int) -> float:
    """Median time of one call."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return 1000 * median(times)


def measure(grid: TimeGrid, words: int, rounds: int) -> list[float]:
    """Median milliseconds of loading a tree file, `reset`, `get_caption` and `path_at`."""
    with tempfile.TemporaryDirectory() as folder:
        store = TreeStore(folder)
        store.save(make_tree("v", grid, words))
        environment = NavigationEnvironment(store)
        load = milliseconds(lambda: CaptionTree.load(store.path("v")), max(5, rounds // 50))
        reset = milliseconds(lambda: environment.reset(video_id="v"), rounds)
        leaves = cycle(grid.paths(grid.depth))
        caption = milliseconds(lambda: environment.get_caption(list(next(leaves))), rounds)
        times = iter([grid.duration * index / rounds for index in range(rounds)])
        place = milliseconds(lambda: grid.path_at(next(times)), rounds)
    return [load, reset, caption, place]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--words", type=int, default=60)
    options = parser.parse_args()
    rows = []
    for grid in (TimeGrid(5400.0, 7), TimeGrid(9000.0, 8)):
        times = measure(grid, options.words, options.rounds)
        rows.append([str(grid.segment_count), *(f"{value:.4f}" for value in times)])
    columns = ("segments", "load a tree file, ms", "reset, ms", "get_caption, ms", "path_at, ms")
    show(f"Captions of {options.words} words, medians of {options.rounds} calls", columns, rows)


if __name__ == "__main__":
    main()
