"""`clipscout eval`: one policy on a corpus, a benchmark or a traces folder."""

from pathlib import Path
from typing import Annotated

import typer

from navigation import InputError


def evaluate(
    policy: Annotated[str, typer.Option(help="random, uniform, exhaustive, retrieval, closed_book, expert, local, …")],
    out: Annotated[Path, typer.Option(help="Folder of results.")],
    corpus: Annotated[str | None, typer.Option(help="Corpus to load from --data.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the corpus as downloaded.")] = None,
    traces: Annotated[Path | None, typer.Option(help="A traces folder instead of a corpus.")] = None,
    held_out_share: Annotated[float, typer.Option(help="Only the held-out videos of this share; 0 takes all.")] = 0.0,
    checkpoint: Annotated[str | None, typer.Option(help="For --policy local: folder or Hub name.")] = None,
    visits: Annotated[int | None, typer.Option(help="Visits of random, uniform and retrieval.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the local model.")] = None,
    turns: Annotated[int, typer.Option(help="Most assistant messages an episode.")] = 15,
    seed: int = 0,
    limit: Annotated[int | None, typer.Option(help="At most this many questions.")] = None,
    concurrency: int = 64,
) -> None:
    """One policy's accuracy, visits and cost on a corpus or a traces folder."""
    from clipscout.tables import policy_table
    from data_gen.traces import write_questions
    from evaluation.run import evaluate_corpus
    from navigation import Limits

    if (corpus is None) == (traces is None):
        raise InputError("command line", "--corpus/--traces", corpus or traces, "give one of the two")
    if corpus is not None:
        traces = out / "corpus"
        if not (traces / "questions.jsonl").is_file():
            write_questions(corpus, data, traces, seed)
    assert traces is not None
    given = {"checkpoint": checkpoint, "visits": visits, "temperature": temperature}
    summary = evaluate_corpus(
        traces / "questions.jsonl", traces / "trees", policy, out, seed=seed, concurrency=concurrency,
        limits=Limits(turns=turns), limit=limit, held_out_share=held_out_share,
        **{name: value for name, value in given.items() if value is not None},
    )  # fmt: skip
    policy_table(summary["policies"])
