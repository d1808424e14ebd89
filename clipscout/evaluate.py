"""`clipscout eval` and `clipscout compare`: a policy on questions, and results side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from navigation import InputError

if TYPE_CHECKING:
    from evaluation.comparison import Comparison


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


def compare_results(
    results: Annotated[list[Path], typer.Argument(help="Folders of `clipscout eval`, or their result.jsonl.")],
    out: Annotated[Path | None, typer.Option(help="Also write compare.md, compare.html and pictures there.")] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals' draws.")] = 0,
    title: Annotated[str, typer.Option(help="Of the page.")] = "Comparison",
) -> None:
    """Scores, costs and paired differences of results on the same questions; the first is what others are held against.

    Results of several benchmarks give a table each.
    """
    from evaluation.comparison import compare
    from evaluation.comparison_page import INTERVALS, write_comparison
    from evaluation.result import read_result

    read = [read_result(path) for path in results]
    console = wide_console()
    for comparison in compare(read, seed):
        for note in comparison.notes:
            console.print(Text(note, style="red"))
        console.print(comparison_table(comparison))
    console.print(f"{INTERVALS}; differences are paired", highlight=False)
    if out is not None:
        for path in write_comparison(read, out, seed, title):
            console.print(Text(str(path)))


def policy_table(policies: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints accuracy with its interval, visits and cost of each policy."""
    table = Table(title="accuracy against visits")
    for column in ("policy", "accuracy", "95 %", "visits", "visit cost", "with index", "grounding", "answered / N"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, row in policies.items():
        low, high = row["accuracy_ci"]
        table.add_row(
            name, f"{row['accuracy']:.3f}", f"{low:.3f}-{high:.3f}", f"{row['visits']:.2f}", f"{row['visit_cost']:.2f}",
            _number(row.get("visit_cost_with_index")), _number(row.get("grounding"), 3),
            f"{row['answered']} / {row['n']}",
        )  # fmt: skip
    wide_console().print(table)


def wide_console() -> Console:
    """A console as wide as the terminal; 120 columns in a file or pipe, where nothing would be gained by cutting."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def comparison_table(comparison: "Comparison") -> Table:
    """A row a policy of one benchmark."""
    from evaluation.comparison_page import amount, points, share

    # Names and benchmarks are data: Text keeps rich from reading markup in them.
    title = Text(f"{comparison.benchmark}: {comparison.questions} questions, {comparison.videos} videos")
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    shown.add_column("policy", overflow="fold")
    for name in ("accuracy, %", "visits", "captions", "tokens", "seconds", "against first", "answered"):
        shown.add_column(name, justify="right")
    for entry in comparison.entries:
        difference = next((each for each in entry.against_first if each.metric == "accuracy"), None)
        shown.add_row(
            Text(entry.name), share(entry.accuracy), amount(entry.costs["visits"]), amount(entry.costs["captions"]),
            amount(entry.costs["tokens_read"]), amount(entry.costs["seconds_computed"]),
            "" if difference is None else points(difference), f"{entry.scores.answered}/{entry.scores.n}",
        )  # fmt: skip
    return shown
