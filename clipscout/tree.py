"""`clipscout tree`: look at caption trees, and exchange them with LongVideo-R1's caption files."""

import unicodedata
from pathlib import Path
from typing import Annotated

import typer

from navigation import CaptionTree, InputError, write_json
from navigation.grid import clock, format_path

tree = typer.Typer(no_args_is_help=True, help="Look at caption trees; import and export the released format.")

_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def plain(text: str) -> str:
    """A text that cannot steer a terminal: white space evened, control and direction characters shown as `�`."""
    return "".join("�" if unicodedata.category(sign) in _HIDDEN else sign for sign in " ".join(text.split()))


def render(shown: CaptionTree, levels: int | None = None, below: tuple[int, ...] = ()):
    """The tree, or the part below a segment, as a rich renderable."""
    from rich.text import Text
    from rich.tree import Tree

    grid = shown.grid
    made_by = ", ".join(
        f"{key} {value}" for key, value in shown.made_by.items() if isinstance(value, (str, int, float))
    )
    head = f"{shown.video_id}  {clock(grid.duration)}, {grid.depth} levels of {grid.width}"
    root = Tree(Text(plain(head) + (f"\n{plain(made_by)}" if made_by else ""), style="bold"))
    branches = {below: root}
    for path in grid.paths():
        parent = path[:-1]
        if parent not in branches or len(path) - len(below) > (levels or grid.depth):
            continue
        start, end = grid.interval(path)
        line = Text.assemble(
            (format_path(path), "cyan"), (f" {clock(start)}-{clock(end)} ", "dim"),
            plain(shown.captions[path]) if path in shown.captions else ("no caption", "red"),
        )  # fmt: skip
        branches[path] = branches[parent].add(line)
    return root


@tree.command()
def show(
    file: Annotated[Path, typer.Argument(help="A caption tree, or a released LongVideo-R1 caption file.")],
    levels: Annotated[int | None, typer.Option(min=1, help="Levels to show; default all.")] = None,
    below: Annotated[str, typer.Option(help="Only what lies below this segment, for example 2,5.")] = "",
) -> None:
    """Print a caption tree."""
    from rich.console import Console

    shown = _load(file)
    try:
        path = tuple(int(part) for part in below.split(",")) if below else ()
    except ValueError:
        path = (0,)
    if path and not shown.grid.contains(path):
        _fail(InputError(file, "below", below, f"give numbers between 1 and {shown.grid.width}, for example 1,2"))
    Console().print(render(shown, levels, path))


@tree.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A released LongVideo-R1 caption file.")],
    out: Annotated[Path, typer.Argument(help="The caption tree to write.")],
    duration: Annotated[float | None, typer.Option(help="Seconds; the file does not tell it.")] = None,
) -> None:
    """Turn a released caption file into a caption tree. Nothing in it is lost."""
    from longvideo_r1.caption_files import import_released

    try:
        write_json(out, import_released(file, duration).to_dict())
    except (InputError, OSError) as error:
        _fail(error)


@tree.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="A caption tree of three levels.")],
    out: Annotated[Path, typer.Argument(help="The released caption file to write.")],
    fps: Annotated[float | None, typer.Option(help="Frames a second, for frame_ids.")] = None,
) -> None:
    """Turn a caption tree into a released caption file. Nothing in it is lost."""
    from longvideo_r1.caption_files import export_released

    try:
        export_released(CaptionTree.load(file), out, fps)
    except (InputError, OSError) as error:
        _fail(error)


def _load(file: Path) -> CaptionTree:
    from longvideo_r1.caption_files import import_released

    try:
        return CaptionTree.load(file)
    except OSError as error:
        _fail(error)
    except InputError as error:
        if error.field != "video_id":
            _fail(error)
    try:
        return import_released(file)
    except InputError as error:
        _fail(error)


def _fail(error: Exception) -> None:
    typer.echo(f"error: {plain(str(error))}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    tree()
