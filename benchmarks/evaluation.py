"""Every rule policy on both real corpora, with tables and figures of the results: `make bench-eval`."""

import argparse
from pathlib import Path
from typing import Any

from evaluation.comparison import compare
from evaluation.comparison_charts import save_pictures
from evaluation.comparison_page import markdown, write_comparison
from evaluation.policies import RULES
from evaluation.result import NAME, read_result
from evaluation.run import corpus_folder, evaluate_corpus
from evaluation.style import replace_block

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
    parser.add_argument("--docs", type=Path, help="docs folder, where results/CORPUS.md is brought up to date")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--policies", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--sample", type=int, help="so many questions of each corpus, drawn at random by the seed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for corpus in options.corpora:
        folder = options.out / corpus
        corpus_folder(corpus, options.data / CORPORA[corpus], folder, options.seed, options.sample)
        for policy in options.policies:
            budget: dict[str, Any] = {} if policy in _UNBOUNDED else {"visits": VISITS}
            where = (folder / "questions.jsonl", folder / "trees", policy, folder / "results" / policy)
            evaluate_corpus(*where, seed=options.seed, concurrency=64, **budget)
    write(options.out, options.docs)


def write(out: Path, docs: Path | None) -> None:
    """Tables and figures of everything that is finished under `out`, and into the docs if they are given."""
    folders = [out / corpus / "results" / policy for corpus in CORPORA for policy in RULES]
    results = [read_result(folder) for folder in folders if (folder / NAME).is_file()]
    write_comparison(results, out / "compare", title="Rule policies on real corpora")
    if docs is not None:
        pages = docs / "results"
        for comparison in compare(results):
            pictures = save_pictures(comparison, pages / "images", "eval_")
            parts = [markdown(comparison), *(f"![{path.stem}](images/{path.name})\n" for path in pictures)]
            replace_block(pages / f"{comparison.benchmark}.md", "bench-eval", "\n".join(parts))


if __name__ == "__main__":
    main()
