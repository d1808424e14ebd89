"""`clipscout eval`: one policy on a corpus, a benchmark or a traces folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from navigation import InputError


def evaluate(
    policy: Annotated[str, typer.Option(help="random, uniform, retrieval, best_first, expert, local, endpoint, …")],
    out: Annotated[Path, typer.Option(help="Folder of results.")],
    corpus: Annotated[str | None, typer.Option(help="Corpus to load from --data.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="The same: lvbench, videomme, mlvu, cgbench, …")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the corpus as downloaded.")] = None,
    trees: Annotated[Path | None, typer.Option(help="Caption trees, for corpora that have none of their own.")] = None,
    traces: Annotated[Path | None, typer.Option(help="A traces folder instead of a corpus.")] = None,
    held_out_share: Annotated[float, typer.Option(help="Only the held-out videos of this share; 0 takes all.")] = 0.0,
    checkpoint: Annotated[str | None, typer.Option(help="For --policy local: folder or Hub name.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Of the local model: native, or tagged as LongVideo-R1.")] = None,
    system_prompt: Annotated[str | None, typer.Option(help="File with a tagged model's system prompt.")] = None,
    max_completion_tokens: Annotated[int | None, typer.Option(help="Of the local model: an episode's, in all.")] = None,
    visits: Annotated[int | None, typer.Option(help="Most visits of the policies that have a ceiling.")] = None,
    embedder: Annotated[str | None, typer.Option(help="For retrieval: a sentence-transformers model.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the local model or the endpoint.")] = None,
    url: Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint: the policy, or a rule's judge.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that the endpoint serves.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Completion tokens of one reply of the endpoint.")] = 2048,
    in_flight: Annotated[int, typer.Option(help="Ceiling on requests at once.")] = 64,
    attempts: Annotated[int, typer.Option(help="Requests for one reply before it counts as failed.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds until a request is given up.")] = 600.0,
    max_usd: Annotated[float | None, typer.Option(help="Stop before more than this is spent on OUT.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Price table (YAML).")] = None,
    cost_model: Annotated[Path | None, typer.Option(help="For computed costs (YAML): seconds, prices.")] = None,
    samples: Annotated[int, typer.Option(help="Attempts at each question, for pass@k.")] = 1,
    turns: Annotated[int, typer.Option(help="Most assistant messages an episode.")] = 15,
    name: Annotated[str, typer.Option(help="What tables call this result; default: the policy.")] = "",
    seed: int = 0,
    limit: Annotated[int | None, typer.Option(help="At most this many questions.")] = None,
    concurrency: int = 64,
) -> None:
    """One policy's accuracy, visits and cost. Run the same command again to go on after a stop."""
    from clipscout.tables import policy_table
    from evaluation.cost_model import CostModel
    from evaluation.evaluate import EvaluationStopped
    from evaluation.run import EndpointOptions, corpus_folder, evaluate_corpus
    from navigation import Limits
    from runtime import EndpointSettings

    if corpus is not None and benchmark is not None:
        raise InputError("command line", "--benchmark", benchmark, "give this or --corpus: they are the same")
    corpus = corpus or benchmark
    if (corpus is None) == (traces is None):
        raise InputError("command line", "--benchmark/--traces", corpus or traces, "give one of the two")
    if (url is None) != (model is None):
        raise InputError("command line", "--url/--model", url or model, "give both or neither")
    endpoint = None
    if url is not None and model is not None:
        settings = EndpointSettings(url, model, in_flight, attempts, timeout)
        endpoint = EndpointOptions(settings, max_tokens, temperature or 0.0, max_usd, prices)
    folder = traces if traces is not None else corpus_folder(str(corpus), data, out / "corpus", seed)
    options: dict[str, Any] = {"checkpoint": checkpoint, "visits": visits, "embedder": embedder}
    options |= {"protocol": protocol, "system_prompt": system_prompt, "max_completion_tokens": max_completion_tokens}
    options["temperature"] = None if endpoint is not None else temperature
    try:
        summary = evaluate_corpus(
            folder / "questions.jsonl", trees or folder / "trees", policy, out, seed=seed, samples=samples,
            concurrency=concurrency, limits=Limits(turns=turns), limit=limit, held_out_share=held_out_share, name=name,
            costs=None if cost_model is None else CostModel.load(cost_model), endpoint=endpoint,
            **{option: value for option, value in options.items() if value is not None},
        )  # fmt: skip
    except EvaluationStopped as stopped:
        typer.echo(f"stopped: {stopped}. What is finished is kept: run the same command again to go on", err=True)
        raise typer.Exit(1) from None
    policy_table(summary["policies"])
