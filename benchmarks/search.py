"""How well, how fast and at which price a search finds what a question is about: `python -m benchmarks.search`.

Recall: whether one of the first 1, 3 or 5 results names a leaf of the clue, for a corpus's own questions, by BM25, by
an embedding model and by both. Speed: one query over generated captions. Prices: from which price of a search on a
policy that searches costs more than one that does not, from the records of both.
"""

import argparse
import random
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import cpu_seconds
from navigation import (
    SEARCH,
    CaptionTree,
    Question,
    Search,
    SearchSettings,
    TimeGrid,
    TreeStore,
    read_questions,
    read_trajectories,
    write_json,
)
from rewards.settings import PRICES

DEPTHS = (1, 3, 5)
PRICES_TRIED = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


def recall(questions: Sequence[Question], trees: TreeStore, settings: SearchSettings) -> dict[str, float]:
    """Share of questions with a clue leaf among the first results, by how many are looked at."""
    search, hits = Search(settings), dict.fromkeys(DEPTHS, 0)
    asked = [question for question in questions if question.clue_intervals]
    for question in asked:
        tree = trees[question.video_id]
        clue = {path for begin, end in question.clue_intervals for path in tree.grid.overlapping(begin, end)}
        found = [passage.path for passage in search.results(tree, question.question[:1000])]
        for depth in DEPTHS:
            hits[depth] += any(path in clue for path in found[:depth])
    return {f"recall@{depth}": round(count / len(asked), 3) for depth, count in hits.items()} | {"n": len(asked)}


def grown(captions: int, seed: int = 0) -> CaptionTree:
    """A tree with at least so many captions of 12 words, of a vocabulary of 5,000."""
    depth = next(depth for depth in range(1, 9) if TimeGrid(1.0, 6, depth).segment_count >= captions)
    grid, draw = TimeGrid(16.0 * 6**depth, 6, depth), random.Random(seed)
    words = [f"{first}{second}{number}" for first in "bdfgk" for second in "aeiou" for number in range(200)]
    paths = list(grid.paths())[-captions:]
    return CaptionTree(f"grown-{captions}", grid, {path: " ".join(draw.choices(words, k=12)) for path in paths})


def speed(captions: int, queries: int = 50) -> dict[str, float]:
    """Building and querying the index of a tree, in CPU seconds and MiB."""
    tree, search = grown(captions), Search(SearchSettings(sources=("captions",)))
    search.reply(grown(50), "warm up")
    tracemalloc.start()
    begun = cpu_seconds()
    search.index(tree)
    built, held = cpu_seconds() - begun, tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    texts = [" ".join(text.split()[:4]) for text in list(tree.captions.values())[:queries]]
    search.reply(tree, texts[0])
    begun = cpu_seconds()
    for text in texts:
        search.reply(tree, text)
    each = (cpu_seconds() - begun) / len(texts)
    return {
        "captions": len(tree.captions),
        "build_cpu_s": round(built, 3),
        "memory_mib": round(held / 2**20, 1),
        "query_cpu_ms": round(1000 * each, 3),
    }


def price_sweep(runs: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Mean visit units of finished evaluations by what a search would cost; accuracy does not depend on it."""
    rows = []
    for name, folder in runs.items():
        played = list(read_trajectories(folder / "trajectories.jsonl"))
        visits = sum(PRICES[visit.tool] for each in played for visit in each.visits) / len(played)
        searches = sum(lookup.tool == SEARCH for each in played for lookup in each.lookups) / len(played)
        costs = {str(price): round(visits + price * searches, 3) for price in PRICES_TRIED}
        right = sum(each.correct for each in played) / len(played)
        rows.append({"policy": name, "right": round(right, 3), "searches": round(searches, 3), "units": costs})
    return rows


def table(report: Mapping[str, Any]) -> str:
    """The report in Markdown."""
    lines = [
        "| ranking | " + " | ".join(f"recall@{depth}" for depth in DEPTHS) + " | questions |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in report["recall"].items():
        lines.append(
            f"| {name} | " + " | ".join(f"{row[f'recall@{depth}']:.3f}" for depth in DEPTHS) + f" | {row['n']} |"
        )
    lines += ["", "| captions | build, CPU s | memory, MiB | a query, CPU ms |", "|---:|---:|---:|---:|"]
    lines += [
        "| {captions:,} | {build_cpu_s} | {memory_mib} | {query_cpu_ms} |".format(**row) for row in report["speed"]
    ]
    if report["prices"]:
        header = " | ".join(f"at {price:g}" for price in PRICES_TRIED)
        lines += ["", f"| policy | right | searches | visit units with a search {header} |"]
        lines.append("|---|---:|---:" + "|---:" * len(PRICES_TRIED) + "|")
        for row in report["prices"]:
            units = " | ".join(f"{value:.2f}" for value in row["units"].values())
            lines.append(f"| {row['policy']} | {row['right']:.3f} | {row['searches']:.2f} | {units} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with questions.jsonl and trees/, for recall")
    parser.add_argument("--limit", type=int, help="questions for recall; default: all")
    parser.add_argument("--embedder", default="", help="a sentence-transformers model to compare with")
    parser.add_argument("--captions", nargs="*", type=int, default=[1_000, 100_000])
    parser.add_argument("--runs", nargs="*", default=[], help="NAME=FOLDER of finished evaluations, for the prices")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-search"))
    options = parser.parse_args()
    report: dict[str, Any] = {"recall": {}, "speed": [speed(count) for count in options.captions], "prices": []}
    if options.data is not None:
        questions = list(read_questions(options.data / "questions.jsonl"))[: options.limit]
        trees = TreeStore(options.data / "trees", capacity=4)
        report["recall"]["BM25"] = recall(questions, trees, SearchSettings())
        if options.embedder:
            both = SearchSettings(embedder=options.embedder)
            report["recall"]["BM25 and embeddings"] = recall(questions, trees, both)
    report["prices"] = price_sweep(
        {name: Path(folder) for name, _, folder in (run.partition("=") for run in options.runs)}
    )
    write_json(options.out / "search.json", report)
    (options.out / "search.md").write_text(table(report), encoding="utf-8")
    print(table(report))


if __name__ == "__main__":
    main()
