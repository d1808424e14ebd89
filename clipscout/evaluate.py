"""`clipscout eval` and `clipscout compare`: a policy on questions, and results side by side."""
# ruff: noqa: RUF009 -- `option` makes a dataclasses.field

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clipscout.judge import JudgeOptions, calibration_tables
from clipscout.options import ENDPOINT, RequestOptions, StageOptions, ToolOptions, option, stage_command, tell_limit
from navigation import InputError, read_questions
from rewards.answer import LABELS

if TYPE_CHECKING:
    from evaluation.comparison import Comparison


MODEL, EPISODES = "Model", "Episodes"


@dataclass(kw_only=True)
class EvalOptions(JudgeOptions, ToolOptions, RequestOptions, StageOptions):
    """Options of `clipscout eval`."""

    policy: str = option("random, uniform, retrieval, best_first, expert, local, endpoint, …")
    out: Path = option("Folder of results.")
    corpus: str | None = option("nextgqa, goalstep, lvbench, videomme, mlvu, cgbench, small_world, …", None)
    data: Path | None = option("Its folder as downloaded; without --corpus, one with questions.jsonl and trees/.", None)
    open: bool = option("With --corpus: in words, options withheld, the right one's text as reference.", False)
    trees: Path | None = option("Caption trees, for corpora that have none of their own.", None)
    held_out_share: float = option("Only the held-out videos of this share; 0 takes all.", 0.0)
    limit: int | None = option("At most this many questions, chosen at random by --seed.", None)
    seed: int = option("Of the policy, the intervals' draws and --limit.", 0)
    name: str = option("What tables call this result; default: the policy.", "")
    cost_model: Path | None = option("For computed costs (YAML): seconds, prices.", None)
    model: str | None = option(
        "Of --policy local: folder or Hub name; with --url, the model's name there.", None, MODEL
    )
    protocol: str | None = option("Of the local model: native, or tagged as LongVideo-R1.", None, MODEL)
    system_prompt: str | None = option("File with a tagged model's system prompt.", None, MODEL)
    temperature: float | None = option(
        "Of the local model (default: 1) or the endpoint (default: 0, greedy).", None, MODEL
    )
    embedder: str | None = option("For retrieval: a sentence-transformers model.", None, MODEL)
    samples: int = option("Attempts at each question, for pass@k.", 1, EPISODES)
    turns: int = option("Most assistant messages an episode.", 15, EPISODES)
    episode_tokens: int | None = option("Completion tokens of one episode of the local model.", None, EPISODES)
    turn_tokens: int | None = option("Completion tokens of one message of the local model.", None, EPISODES)
    visits: int | None = option("Most visits of the policies that have a ceiling.", None, EPISODES)
    url: str | None = option("OpenAI-compatible endpoint: the policy, or a rule's judge.", None, ENDPOINT)
    max_tokens: int = option("Completion tokens of one reply of the endpoint.", 2048, ENDPOINT)
    parity: str = option("Are its prompts those that were trained: auto, count, require or off.", "auto", ENDPOINT)
    reasoning_field: str = option("For earlier reasoning: auto, reasoning, reasoning_content, none.", "auto", ENDPOINT)

    @property
    def folder(self) -> Path:
        return self.out

    @property
    def without_ceiling(self) -> str:
        """What is said where --visits has no effect; empty where it has. A loop over policies may always give it."""
        from evaluation.policies import has_option

        if self.visits is None or has_option(self.policy, "visits"):
            return ""
        return f"--visits {self.visits} has no effect: {self.policy} has no ceiling on its visits"

    def policy_options(self) -> dict[str, Any]:
        """What `make_policy` takes besides the name."""
        given = {
            "checkpoint": None if self.url is not None else self.model,
            "visits": None if self.without_ceiling else self.visits,
            "embedder": self.embedder,
            "protocol": self.protocol,
            "system_prompt": self.system_prompt,
            "max_completion_tokens": self.episode_tokens,
            "max_turn_tokens": self.turn_tokens,
            "temperature": None if self.url is not None else self.temperature,
        }
        return {name: value for name, value in given.items() if value is not None}


def check_policy(policy: str, model: str | None, url: str | None = None) -> None:
    """Raises for a policy that is not there, or that lacks the model it needs.

    Raises:
        InputError: see above.
    """
    from evaluation.policies import POLICY_NAMES

    if policy not in POLICY_NAMES:
        raise InputError("command line", "--policy", policy, f"give one of {', '.join(POLICY_NAMES)}")
    if policy == "local":
        if url is not None:
            raise InputError("command line", "--url", url, "leave it out, or use --policy endpoint: local needs none")
        if model is None:
            raise InputError("command line", "--model", None, "give the folder or Hub name of the local model")
    elif url is None and (policy == "endpoint" or model is not None):
        raise InputError("command line", "--url", None, "give --url and --model together")
    elif url is not None and model is None:
        raise InputError("command line", "--model", None, "give --url and --model together")


def check_corpus(folder: Path, trees: Path) -> int:
    """How many questions a corpus folder has.

    Raises:
        InputError: no questions, or no caption trees.
    """
    path = folder / "questions.jsonl"
    if not path.is_file():
        raise InputError(folder, "data", "no questions.jsonl", "give a folder of `make questions` or `make traces`")
    if not trees.is_dir():
        raise InputError(trees, "trees", "no such folder", "give the folder of the caption trees")
    return sum(1 for _ in read_questions(path))


def check_eval(options: EvalOptions) -> list[str]:
    """Reads the settings, the price table and the questions."""
    from evaluation.cost_model import CostModel

    _check_source(options)
    options.tool_settings()
    if options.cost_model is not None:
        CostModel.load(options.cost_model)
    if options.url is not None and options.model is not None:
        options.check_price(options.url, options.model)
    if options.corpus is None:
        assert options.data is not None
        count = check_corpus(options.data, options.trees or options.data / "trees")
    else:
        from data_gen.corpora import load_corpus

        count = len(load_corpus(options.corpus, options.data, options.seed, open_form=options.open).questions)
    told = f"{options.policy} on {count} questions of {options.corpus or options.data}, results in {options.out}"
    return [told, options.without_ceiling] if options.without_ceiling else [told]


def _check_source(options: EvalOptions) -> None:
    if options.corpus is None and options.data is None:
        raise InputError("command line", "--data", None, "give --corpus NAME, or a folder of questions and trees")
    check_policy(options.policy, options.model, options.url)
    if options.open and options.corpus is None:
        hint = "give --corpus, or a folder that `clipscout questions --open` wrote"
        raise InputError("command line", "--open", True, hint)
    options.calibration(options.judge(options.request, options.prices))


def run_eval(options: EvalOptions) -> int:
    """One policy's accuracy, visits and cost. Run the same command again to go on after a stop."""
    from evaluation.cost_model import CostModel
    from evaluation.evaluate import EvaluationStopped
    from evaluation.run import EndpointOptions, corpus_folder, evaluate_corpus
    from navigation import Limits
    from runtime import Usage

    _check_source(options)
    endpoint, judge = None, options.judge(options.request, options.prices)
    if options.url is not None and options.model is not None:
        endpoint = EndpointOptions(
            options.endpoint(options.url, options.model),
            options.max_tokens,
            options.temperature or 0.0,
            options.max_usd,
            options.prices,
            options.parity,
            options.reasoning_field,
        )
    if options.corpus is not None:
        folder = corpus_folder(
            options.corpus, options.data, options.out / "corpus", options.seed, open_form=options.open
        )
    else:
        assert options.data is not None
        folder = options.data
    tell_limit(options.limit, options.seed)
    if options.without_ceiling:
        typer.echo(options.without_ceiling, err=True)
    try:
        summary = evaluate_corpus(
            folder / "questions.jsonl",
            options.trees or folder / "trees",
            options.policy,
            options.out,
            seed=options.seed,
            samples=options.samples,
            concurrency=options.in_flight,
            limits=Limits(turns=options.turns),
            limit=options.limit,
            held_out_share=options.held_out_share,
            name=options.name,
            costs=None if options.cost_model is None else CostModel.load(options.cost_model),
            endpoint=endpoint,
            **options.tool_settings(),
            judge=judge,
            calibration=options.calibration(judge),
            **options.policy_options(),
        )
    except EvaluationStopped as stopped:
        typer.echo(f"stopped: {stopped}. What is finished is kept: run the same command again to go on", err=True)
        return 1
    policy_table(summary["policies"])
    _tell_verdicts(summary, judged=judge is not None)
    if requests := summary.get("requests"):
        typer.echo(f"requests: {Usage.from_dict(requests).money}")
    if unmeasured := summary.get("unmeasured"):
        told = ", ".join(f"{count} x {reason}" for reason, count in unmeasured.items())
        where = options.out / "unmeasured.jsonl"
        typer.echo(f"not measured: {told}; see {where}. Run the same command again to ask them again", err=True)
        return 1
    return 0


def _tell_verdicts(summary: Mapping[str, Any], judged: bool) -> None:
    """What was said of answers in words and by whom, and how far the judge can be trusted."""
    from runtime import Usage

    for name, row in summary["policies"].items():
        if (verdicts := row.get("verdicts")) is None:
            continue
        by = ", ".join(f"{rule.replace('_', ' ')} {count}" for rule, count in verdicts["by"].items())
        said = ", ".join(f"{label.replace('_', ' ')} {verdicts[label]}" for label in LABELS if verdicts[label])
        agreement = "" if verdicts["agreement"] is None else f"; votes agree {verdicts['agreement']:.3f}"
        overlap = f"token F1 {_number(row['token_f1'], 3)}, ROUGE-L {_number(row['rouge_l'], 3)}"
        typer.echo(f"{name}, in words: {said}; decided by {by}{agreement}; {overlap}")
        if interval := row.get("accuracy_with_votes_ci"):
            typer.echo(f"{name}: accuracy 95 % over questions and votes {interval[0]:.3f}-{interval[1]:.3f}")
    told = summary.get("judge") or {}
    if requests := told.get("requests"):
        typer.echo(f"judge: {Usage.from_dict(requests).money}")
    for table in calibration_tables(told["calibration"]) if told.get("calibration") else ():
        wide_console().print(table)
    if judged and not told.get("calibration"):
        typer.echo("judge: not calibrated here; run `clipscout judge calibrate` and give --judge-calibration", err=True)


evaluate = stage_command(EvalOptions, check_eval, run_eval)


def compare_results(
    results: Annotated[list[Path], typer.Argument(help="Folders of `clipscout eval`, or their result.jsonl.")],
    out: Annotated[Path | None, typer.Option(help="Also write compare.md, compare.html and pictures there.")] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals' draws.")] = 0,
    title: Annotated[str, typer.Option(help="Of the page.")] = "Comparison",
    other_judges: Annotated[
        bool, typer.Option("--other-judges", help="Put results under several judges together.")
    ] = False,
) -> None:
    """Scores, costs and paired differences of results on the same questions; the first is what others are held against.

    Results of several benchmarks give a table each.
    """
    from evaluation.comparison import compare
    from evaluation.comparison_page import INTERVALS, write_comparison
    from evaluation.result import read_result

    read = [read_result(path) for path in results]
    console = wide_console()
    for comparison in compare(read, seed, other_judges):
        for note in comparison.notes:
            console.print(Text(note, style="red"))
        console.print(comparison_table(comparison))
    console.print(f"{INTERVALS}; differences are paired", highlight=False)
    if out is not None:
        for path in write_comparison(read, out, seed, title, other_judges):
            console.print(Text(str(path)))


def policy_table(policies: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints accuracy with its interval, visits and cost of each policy."""
    table = Table(title="accuracy against visits")
    for column in ("policy", "accuracy", "95 %", "visits", "visit cost", "with index", "grounding", "answered / N"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, row in policies.items():
        low, high = row["accuracy_ci"] or (None, None)
        interval = "" if low is None else f"{low:.3f}-{high:.3f}"
        table.add_row(
            name,
            _number(row["accuracy"], 3),
            interval,
            f"{row['visits']:.2f}",
            f"{row['visit_cost']:.2f}",
            _number(row.get("visit_cost_with_index")),
            _number(row.get("grounding"), 3),
            f"{row['answered']} / {row['n']}",
        )
    failures = [(name, *each) for name, row in policies.items() for each in row.get("failures", {}).items()]
    if failures:
        # What was raised is foreign text: Text keeps rich from reading markup in it.
        table.caption = Text("\n".join(f"{name}: {count} failed: {reason}" for name, reason, count in failures))
    wide_console().print(table)
    if unread := sum(row.get("unread_evidence", 0) for row in policies.values()):
        typer.echo(f"{unread} pieces of cited evidence could not be read", err=True)


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
            Text(entry.name),
            share(entry.accuracy),
            amount(entry.costs["visits"]),
            amount(entry.costs["captions"]),
            amount(entry.costs["tokens_read"]),
            amount(entry.costs["seconds_computed"]),
            "" if difference is None else points(difference),
            f"{entry.scores.answered}/{entry.scores.n}",
        )
    return shown
