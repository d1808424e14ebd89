"""Every rule policy on both real corpora, with tables and figures of the results: `make bench-eval`."""

import argparse
from pathlib import Path

from data_gen.traces import write_questions
from evaluation.policies import RULES
from evaluation.run import evaluate_corpus

CORPORA = {"nextgqa": "nextgqa", "goalstep": "ego4d_goalstep"}
"""Corpora with captions, and their folders under --data."""
VISITS = 8
"""The same ceiling for every policy that has one."""
_UNBOUNDED = ("closed_book", "overview", "exhaustive", "expert")


def main() -> None:
    """Plays what is missing, then writes tables and figures. Can be killed and called again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-eval"), help="folder of results")
    parser.add_argument("--docs", type=Path, help="also copy figures and tables there")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--policies", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--limit", type=int, help="questions of each corpus")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for corpus in options.corpora:
        folder = options.out / corpus
        if not (folder / "questions.jsonl").is_file():
            write_questions(corpus, options.data / CORPORA[corpus], folder, options.seed)
        for policy in options.policies:
            budget = {} if policy in _UNBOUNDED else {"visits": VISITS}
            evaluate_corpus(
                folder / "questions.jsonl", folder / "trees", policy, folder / "results" / policy, seed=options.seed,
                limit=options.limit, concurrency=64, **budget,
            )  # fmt: skip


if __name__ == "__main__":
    main()
