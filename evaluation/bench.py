"""Every rule policy on both real corpora, with tables and figures of the results: `make bench-eval`."""

import argparse
from pathlib import Path

from data_gen.traces import write_questions
from evaluation.comparison import compare
from evaluation.comparison_charts import save_pictures
from evaluation.comparison_page import markdown, write_comparison
from evaluation.policies import RULES
from evaluation.result import NAME, read_result
from evaluation.run import evaluate_corpus
from navigation import InputError, write_atomic

CORPORA = {"nextgqa": "nextgqa", "goalstep": "ego4d_goalstep"}
"""Corpora with captions, and their folders under --data."""
VISITS = 8
"""The same ceiling for every policy that has one."""
_UNBOUNDED = ("closed_book", "overview", "exhaustive", "expert")
_BEGIN, _END = "<!-- bench-eval begins -->", "<!-- bench-eval ends -->"


def main() -> None:
    """Plays what is missing, then writes tables and figures. Can be killed and called again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-eval"), help="folder of results")
    parser.add_argument("--docs", type=Path, help="folder whose evaluation.md and images are brought up to date")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--policies", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--sample", type=int, help="so many questions of each corpus, drawn at random by the seed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for corpus in options.corpora:
        folder = options.out / corpus
        if not (folder / "questions.jsonl").is_file():
            write_questions(corpus, options.data / CORPORA[corpus], folder, options.seed, options.sample)
        for policy in options.policies:
            budget = {} if policy in _UNBOUNDED else {"visits": VISITS}
            evaluate_corpus(
                folder / "questions.jsonl", folder / "trees", policy, folder / "results" / policy, seed=options.seed,
                concurrency=64, **budget,
            )  # fmt: skip
    write(options.out, options.docs)


def write(out: Path, docs: Path | None) -> None:
    """Tables and figures of everything that is finished under `out`, and into the docs if they are given."""
    folders = [out / corpus / "results" / policy for corpus in CORPORA for policy in RULES]
    results = [read_result(folder) for folder in folders if (folder / NAME).is_file()]
    write_comparison(results, out / "compare", title="Rule policies on real corpora")
    if docs is None:
        return
    for comparison in compare(results):
        save_pictures(comparison, docs / "images", "eval_")
    page = docs / "evaluation.md"
    text = page.read_text(encoding="utf-8")
    if _BEGIN not in text or _END not in text:
        raise InputError(page, "markers", _BEGIN, f"put {_BEGIN} and {_END} where the tables go")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    tables = "\n".join(markdown(comparison) for comparison in compare(results))
    write_atomic(page, f"{before}{_BEGIN}\n\n{tables}\n{_END}{after}")


if __name__ == "__main__":
    main()
