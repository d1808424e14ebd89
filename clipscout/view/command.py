"""`clipscout view`: recorded trajectories as pages."""

import sys
from pathlib import Path
from typing import Annotated

import typer


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
