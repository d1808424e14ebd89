"""The `clipscout` command: what the Make targets call."""

import errno
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from clipscout.ask.command import ask
from clipscout.captions import captions
from clipscout.dataset import dataset, difficulty
from clipscout.doctor import doctor
from clipscout.evaluate import compare_results, evaluate
from clipscout.push import merge, push
from clipscout.score import score
from clipscout.serve.command import serve
from clipscout.teacher import teacher
from clipscout.tree import import_released, tree
from clipscout.view.command import view
from navigation import InputError

app = typer.Typer(help="Answer questions about hours of video while looking at little of it.", no_args_is_help=True)
app.command()(ask)
app.command()(captions)
app.command()(score)
app.command()(teacher)
app.command()(dataset)
app.command()(difficulty)
app.command()(doctor)
app.command("import-released")(import_released)
app.command("eval")(evaluate)
app.command("compare")(compare_results)
app.command()(merge)
app.command()(push)
app.command()(serve)
app.command()(view)
app.add_typer(tree, name="tree")
Folder = Annotated[Path | None, typer.Option(help="Folder of the corpus as downloaded; generated corpora need none.")]


@app.command()
def questions(
    corpus: Annotated[str, typer.Option(help="goalstep, nextgqa, hirest, cgbench, mlvu, lvbench, videomme, …")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    data: Folder = None,
    seed: int = 0,
    limit: Annotated[int | None, typer.Option(help="Keep at most this many questions.")] = None,
) -> None:
    """Questions, caption trees and skipped rows of a corpus."""
    from data_gen.traces import write_questions
    from navigation import write_json

    stats = write_questions(corpus, data, out, seed, limit)
    write_json(out / "stats.json", stats)
    _show(stats)


@app.command()
def traces(
    corpus: Annotated[str, typer.Option(help="goalstep, nextgqa, hirest or small_world.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    data: Folder = None,
    seed: int = 0,
    limit: Annotated[int | None, typer.Option(help="Keep at most this many questions.")] = None,
    wander: Annotated[float, typer.Option(help="Chance of each further detour of the expert.")] = 0.4,
) -> None:
    """A corpus with the scripted expert's trajectories: ready for `make sft`."""
    from data_gen.traces import write_traces

    _show(write_traces(corpus, data, out, seed, limit, wander))


@app.command("tiny-base")
def tiny_base(config: Path = Path("configs/model/tiny.yaml")) -> None:
    """A small base model and tokenizer, where no pretrained weights are at hand."""
    from trainer.tiny_base import main as build

    build(["--config", str(config)])


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    seed: int = 0,
) -> None:
    """The whole road on the small world: trajectories, SFT, GRPO, evaluation, report. Goes on where it stopped."""
    from clipscout.demo import run_demo

    run_demo(out, seed)


@app.command()
def report(out: Annotated[Path, typer.Option(help="Folder of a demo run.")] = Path("runs/demo")) -> None:
    """Writes the report of a demo run again from its files."""
    from clipscout.demo import write_demo_report

    print(write_demo_report(out))


def _show(stats: dict) -> None:
    print(json.dumps(stats, ensure_ascii=False, indent=1))


def main() -> None:
    """Runs the command; bad input ends with one line and exit code 2."""
    try:
        app(standalone_mode=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            raise
        hint = "make room or fix the disk, then run the same command again: what was finished is kept"
        print(f"error: {error}: {hint}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
