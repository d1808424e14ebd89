"""The `clipscout` command: what the Make targets call, in the order of the work."""

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from clipscout.ask.command import ask
from clipscout.ask.options import with_settings
from clipscout.captions import captions
from clipscout.dataset import dataset, difficulty
from clipscout.doctor import doctor
from clipscout.download import download
from clipscout.evaluate import compare_results, evaluate
from clipscout.export import export
from clipscout.judge import commands as judge
from clipscout.lines import lines
from clipscout.migrate import import_gguf, migrate
from clipscout.options import FULL_DISK, tell_limit
from clipscout.report import report
from clipscout.score import score
from clipscout.search import search
from clipscout.teacher import teacher
from clipscout.training import PASSED_ON, grpo, sft
from clipscout.tree import import_released, tree
from navigation import InputError, SearchSettings, read_tools

if TYPE_CHECKING:
    from clipscout.ask.settings import AskSettings

RENAMED = {
    "--concurrency": "--in-flight",
    "--licence": "--license",
    "--traces": "--data",
    "--checkpoint": "--model",
    "--benchmark": "--corpus",
    "--rounds": "--turns",
    "--tokens": "--episode-tokens",
    "--trajectory-usd": "--episode-usd",
    "--max-completion-tokens": "--episode-tokens",
    "--policy-url": "--url",
    "--policy-model": "--model",
    "--endpoint": "--url",
    "--held-out": "--held-out-share",
}
"""Options by the names that they had; they hold where a command has no such option today."""
RENAMED_IN = {"view": {"--corpus": "--data", "--limit": "--first"}}
FOLDERS = {
    "captions": ("--videos", "--out"),
    "teacher": ("--data",),
    "dataset": ("--data", "--out"),
    "difficulty": ("--data", "--out"),
}
"""Commands whose folders were given without a name."""


class Commands(TyperGroup):
    """Commands in the order of the work; an old option is an error that names the new one."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in ORDER if name in self.commands]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name not in ("sft", "grpo"):
            known = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
            renamed = RENAMED | RENAMED_IN.get(str(name), {})
            for flag in (each.split("=")[0] for each in rest if each.startswith("--")):
                if flag not in known and flag in renamed and renamed[flag] in known:
                    raise typer.BadParameter(f"it is called {renamed[flag]} now", ctx, param_hint=flag)
            if name in FOLDERS and rest and not rest[0].startswith("-"):
                hint = " and ".join(FOLDERS[name])
                raise typer.BadParameter(f"give it by its name, with {hint}", ctx, param_hint=rest[0])
        return name, command, rest


app = typer.Typer(
    cls=Commands,
    help="Answer questions about hours of video while looking at little of it.",
    no_args_is_help=True,
)
CORPUS = "goalstep, nextgqa, hirest, cgbench, mlvu, lvbench, videomme, small_world, or path/to/loader.py."
Corpus = Annotated[str, typer.Option(help=CORPUS)]
Out = Annotated[Path, typer.Option(help="Folder to write.")]
Folder = Annotated[Path | None, typer.Option(help="Folder of the corpus as downloaded; generated corpora need none.")]
Seed = Annotated[int, typer.Option(help="Of everything random, --limit too.")]
Tools = Annotated[str, typer.Option(help="Of an episode: get_caption,video_qa,search,jump.")]
Open = Annotated[bool, typer.Option("--open", help="In words: options withheld, the right one's text as reference.")]
Limit = Annotated[int | None, typer.Option(help="At most this many questions, chosen at random by --seed.")]


def questions(
    corpus: Corpus, out: Out, data: Folder = None, seed: Seed = 0, limit: Limit = None, open_form: Open = False
) -> None:
    """Questions, caption trees and skipped rows of a corpus."""
    from data_gen.traces import write_questions
    from navigation import write_json

    tell_limit(limit, seed)
    stats = write_questions(corpus, data, out, seed, limit, open_form)
    write_json(out / "stats.json", stats)
    _show(stats)


def traces(
    folder: Annotated[Path | None, typer.Argument(help="Your own: questions.jsonl and trees/.")] = None,
    corpus: Annotated[str | None, typer.Option(help=CORPUS)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: your own folder.")] = None,
    data: Annotated[Path | None, typer.Option(help="Of --corpus, as downloaded; without it, your own folder.")] = None,
    seed: Seed = 0,
    limit: Limit = None,
    wander: Annotated[float, typer.Option(help="Chance of each further detour of the expert.")] = 0.4,
    tools: Tools = "get_caption,video_qa",
    search_results: Annotated[int, typer.Option(help="Most lines of a search's reply.")] = 5,
    search_words: Annotated[int, typer.Option(help="Most words of such a line.")] = 20,
    search_sources: Annotated[str, typer.Option(help="What is searched.")] = "captions,speech,screen",
    search_embedder: Annotated[str, typer.Option(help="A sentence-transformers model to search by meaning too.")] = "",
    open_form: Open = False,
) -> None:
    """A corpus, or a folder of your own, with the scripted expert's trajectories: ready for `make sft`."""
    from data_gen.traces import write_traces

    if folder is not None and (corpus is not None or data is not None):
        raise InputError("command line", "folder", str(folder), "leave it out where --corpus or --data is given")
    data = data or folder
    if corpus is not None and out is None:
        raise InputError("command line", "--out", None, "give the folder to write")
    if corpus is None and data is None:
        hint = "give a folder with questions.jsonl and trees/, or --corpus NAME"
        raise InputError("command line", "folder", None, hint)
    tell_limit(limit, seed)
    chosen, target = read_tools(tools, "command line"), out or data or Path()
    told = {"count": search_results, "words": search_words, "sources": search_sources, "embedder": search_embedder}
    search = SearchSettings.from_config(told)
    _show(write_traces(corpus, data, target, seed, limit, wander, tools=chosen, search=search, open_form=open_form))


def tiny_base(
    config: Annotated[Path, typer.Option(help="YAML of the model.")] = Path("configs/model/tiny.yaml"),
    data: Annotated[Path | None, typer.Option(help="Folder of trajectories whose words it gets.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for model and tokenizer.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights.")] = None,
    tools: Tools = "get_caption,video_qa",
) -> None:
    """A small base model and tokenizer, where no pretrained weights are at hand."""
    from trainer.tiny_base import main as build

    given = {"--data": data, "--output_dir": out, "--seed": seed, "--tools": tools}
    flags = [text for flag, value in given.items() if value is not None for text in (flag, str(value))]
    build(["--config", str(config), *flags])


def demo(out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"), seed: Seed = 0) -> None:
    """The whole road on the small world: trajectories, SFT, GRPO, evaluation, report. Goes on where it stopped."""
    from clipscout.demo import run_demo

    run_demo(out, seed)


def push(
    folder: Annotated[Path, typer.Argument(help="Checkpoint, data set of `clipscout dataset`, or folder with trees/.")],
    repo: Annotated[str, typer.Argument(help="organisation/name")],
    kind: Annotated[str, typer.Option(help="model, dataset or trees.")] = "model",
    dry_run: Annotated[bool, typer.Option(help="List what would go up, and print the card; upload nothing.")] = False,
    merge: Annotated[bool, typer.Option(help="Merge an adapter into its base first.")] = False,
    public: Annotated[bool, typer.Option(help="Make a new repository public.")] = False,
    license: Annotated[str | None, typer.Option(help="Of the model or trees, where it is not its base's.")] = None,
    evaluation: Annotated[Path | None, typer.Option(help="summary.json of `clipscout eval`, for the card.")] = None,
) -> None:
    """Upload FOLDER to REPO: weights, tokenizer, template, configs and a card; never a pickle, optimizer or secret."""
    from clipscout.cards import write_card, write_trees_card
    from clipscout.publish import check_hub, check_names, merge_adapter, plan, upload

    check_names(folder, repo, kind)
    if not dry_run:
        check_hub()  # before a merge that takes minutes
    # Beside the checkpoint, not in /tmp: a merged 8B model is 16 GB.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".push-") if merge else nullcontext(folder) as aside:
        source = merge_adapter(folder, aside) if merge else folder
        card = None
        if kind == "model":
            card = write_card(source, repo, license, evaluation)
        elif kind == "trees":
            card = write_trees_card(source, repo, license)
        made = plan(source, repo, kind, card)
        for line in made.lines():
            typer.echo(line)
        if dry_run:
            typer.echo("dry run: nothing was uploaded")
            if card is not None:
                typer.echo(f"\nREADME.md:\n{card}")
            return
        typer.echo(upload(made, private=not public))


def merge(
    folder: Annotated[Path, typer.Argument(help="Folder of an adapter, as SFT or GRPO with use_peft leaves it.")],
    out: Annotated[Path, typer.Argument(help="Folder for the whole model.")],
) -> None:
    """Add an adapter's weights to its base's: what GRPO, a server or another framework starts from."""
    from clipscout.publish import merge_adapter

    if out.exists() and any(out.iterdir()):
        raise InputError(out, "out", "not empty", "give a folder that is new or empty")
    typer.echo(str(merge_adapter(folder, out)))


@with_settings
def serve(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Folders or files: videos, SRT or VTT files, caption trees. Nothing else is served."),
    ],
    host: Annotated[str, typer.Option(help="Address to bind; anything but loopback is open to others.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    sessions: Annotated[int, typer.Option(min=1, help="Episodes at once; more get 503.")] = 64,
    body_mb: Annotated[float, typer.Option(min=0.001, help="Largest request body.")] = 1.0,
    *,
    settings: "AskSettings",
) -> None:
    """Serve the agent: a page to ask and watch, and /v1/chat/completions for programs."""
    from clipscout.serve.app import serve_app
    from clipscout.serve.library import Library
    from clipscout.web import Limits, run_app
    from clipscout.web.server import allowed_hosts

    library = Library(sources)
    silent = sum(entry.kind == "video" for entry in library.entries) if not settings.captioner.url else 0
    print(f"{len(library.entries)} to ask about; policy {settings.policy}", file=sys.stderr)
    if silent:
        print(f"note: no --caption-url: of {silent} videos, those without subtitles cannot be asked", file=sys.stderr)
    limits = Limits(round(body_mb * 1_000_000), requests=4 * sessions)
    app = serve_app(library, settings, sessions, limits, allowed_hosts(host))
    run_app(app, host, port, "ask")


def view(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or JSONL files of trajectories.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with questions.jsonl and trees/; default: looked for beside the trajectories."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only sets whose name ends so; repeatable.")] = None,
    host: Annotated[str, typer.Option(help="Address to bind; anything but loopback is open to others.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8766,
    export: Annotated[Path | None, typer.Option(help="Write one HTML file instead of serving.")] = None,
    first: Annotated[int, typer.Option(min=1, help="Export: only so many, the first in that order.")] = 100,
    status: Annotated[str, typer.Option(help="Export: answered, out_of_turns, …")] = "",
    correct: Annotated[str, typer.Option(help="Export: right, wrong or none (no letter).")] = "",
    text: Annotated[str, typer.Option(help="Export: only questions, ids and videos with this text.")] = "",
    order: Annotated[str, typer.Option(help="Export: file, or a column: visits; visits-, most first.")] = "file",
) -> None:
    """Show trajectories, rollouts and evaluations as pages: filter them, read a trajectory, compare two runs."""
    from clipscout.tree import plain
    from clipscout.view.app import view_app
    from clipscout.view.export import export as write_export
    from clipscout.view.filters import Filter
    from clipscout.view.runs import find_runs
    from clipscout.web import run_app
    from clipscout.web.server import allowed_hosts

    found = find_runs(runs, data, only or ())
    for each in found.sets:
        each.refresh()
    if export is not None:
        chosen = Filter.from_query({"status": status, "correct": correct, "text": text, "order": order})
        count = write_export(found.sets, chosen, export, first)
        print(f"{export}: {count} questions")
        return
    for each in found.sets:
        beside = each.corpus if each.corpus is not None else "no questions found; --data gives them"
        print(plain(f"{each.name}: {len(each.rows)} trajectories ({beside})"), file=sys.stderr)
    run_app(view_app(found, allowed_hosts(host)), host, port, "trajectories")


def _show(stats: dict[str, Any]) -> None:
    print(json.dumps(stats, ensure_ascii=False, indent=1))


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"clipscout {version('clipscout')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Answer questions about hours of video while looking at little of it."""


COMMANDS: dict[str, dict[str, Any]] = {
    "Data": {
        "doctor": doctor,
        "download": download,
        "questions": questions,
        "lines": lines,
        "captions": captions,
        "tree": tree,
        "traces": traces,
        "teacher": teacher,
        "dataset": dataset,
        "difficulty": difficulty,
    },
    "Training": {"tiny-base": tiny_base, "sft": sft, "grpo": grpo, "merge": merge, "push": push, "migrate": migrate},
    "Evaluation": {"eval": evaluate, "compare": compare_results, "score": score, "judge": judge},
    "Use": {"ask": ask, "search": search, "serve": serve, "view": view},
    "More": {
        "report": report,
        "demo": demo,
        "export": export,
        "import-released": import_released,
        "import-gguf": import_gguf,
    },
}
ORDER: Sequence[str] = [name for commands in COMMANDS.values() for name in commands]
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            settings = PASSED_ON if name in ("sft", "grpo") else None
            app.command(name, rich_help_panel=panel, context_settings=settings)(command)


def main() -> None:
    """Runs the command; bad input ends with one line and exit code 2."""
    try:
        app(standalone_mode=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        hint = "make room or fix the disk, then run the same command again: what was finished is kept"
        print(f"error: {error}: {hint}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
