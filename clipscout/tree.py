"""`clipscout tree`: look at caption trees; exchange them and rows with LongVideo-R1's files."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from navigation import CaptionTree, InputError, Question, TreeStore, read_jsonl, write_json
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
        made = import_released(file, duration)
        write_json(out, made.to_dict())
    except (InputError, OSError) as error:
        _fail(error)
    away = made.made_by.get("released", {}).get("off_grid")
    if away and (away["seconds"] > 0 or away["segments"]):
        typer.echo(
            f"note: the file splits frames, the tree splits seconds: frames lie up to {away['seconds']:.1f} s outside "
            f"their segment, and {away['segments']} of {away['of']} segments have their middle in another one",
            err=True,
        )
    if made.made_by.get("duration_estimated"):
        typer.echo(f"note: the duration of {made.grid.duration:.1f} s is estimated: give --duration", err=True)


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


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"error: {plain(str(error))}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    tree()


def import_released(
    file: Annotated[Path, typer.Argument(help="The SFT or RL file as published: .json, .jsonl or .parquet.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    captions: Annotated[
        Path | None, typer.Option(help="Folder of caption files, for trajectories of the released generator.")
    ] = None,
) -> None:
    """Turn published SFT conversations into OUT/sft/train.parquet, or published RL rows into OUT/questions.jsonl.

    Rows of the released generator also become OUT/trajectories.jsonl and OUT/trees, if --captions gives the caption
    files they were made with. Which of these a file holds is seen from its rows. What cannot be used is in
    OUT/skipped.jsonl with its reason. Exit code 2 if the file cannot be read or no row of it can be used.
    """
    from navigation import SkippedRow, write_jsonl

    try:
        rows = list(_rows(file))
        if not rows:
            raise InputError(file, "rows", 0, "this file holds none")
        made, told = _write_rl(rows, out, captions) if "right_answer" in rows[0] else _write_sft(rows, out)
        skipped = [row for row in made if isinstance(row, SkippedRow)]
        write_jsonl(out / "skipped.jsonl", (row.to_dict() for row in skipped))
        if len(skipped) == len(made):
            raise InputError(file, "rows", f"none of {len(rows)} can be used", f"see {out / 'skipped.jsonl'}")
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(rows)} rows: {told}, {len(skipped)} skipped")


def _write_rl(rows: list[dict[str, Any]], out: Path, captions: Path | None) -> tuple[list[Any], str]:
    from longvideo_r1.replay import is_generated, replay
    from longvideo_r1.rows import import_released_rl, released_videos
    from navigation import Trajectory, write_jsonl

    made: list[Any] = list(import_released_rl(rows))
    questions = [row for row in made if isinstance(row, Question)]
    videos = released_videos(rows)
    write_jsonl(out / "questions.jsonl", (question.to_dict() for question in questions))
    write_jsonl(out / "videos.jsonl", videos)
    told = f"{len(questions)} questions on {len(videos)} videos"
    generated = [(row, each) for row, each in zip(rows, made, strict=True) if is_generated(row)]
    if generated:
        trees = _import_trees(captions, out / "trees", questions) if captions is not None else None
        played = [replay(row, question, trees) for row, question in generated if isinstance(question, Question)]
        trajectories = [each for each in played if isinstance(each, Trajectory)]
        write_jsonl(out / "trajectories.jsonl", (each.to_dict() for each in trajectories))
        made += played
        told += f", {len(trajectories)} of {len(generated)} trajectories"
    return made, told


def _import_trees(captions: Path, out: Path, questions: list[Question]) -> TreeStore:
    """Caption files of the questions' videos as trees; a file that is not there or no such file is told."""
    from longvideo_r1.caption_files import import_released as read_captions
    from navigation.files import child_path

    store = TreeStore(out)
    for video_id, duration in {question.video_id: question.duration for question in questions}.items():
        try:
            file = child_path(captions, video_id, ".json")
            store.save(replace(read_captions(file, duration), video_id=video_id))
        except (InputError, OSError) as error:
            typer.echo(f"note: {plain(str(error))}", err=True)
    return store


def _write_sft(rows: list[dict[str, Any]], out: Path) -> tuple[list[Any], str]:
    from data_gen.sets.parquet import ParquetFile
    from longvideo_r1.rows import SFT_COLUMNS, import_released_sft, longest_only

    made = list(import_released_sft(rows))
    trajectories = [row for row in made if isinstance(row, dict)]
    kept = longest_only(trajectories)
    with ParquetFile(out / "sft" / "train.parquet", SFT_COLUMNS) as file:
        file.write_all(kept)
    return made, f"{len(kept)} trajectories kept, {len(trajectories) - len(kept)} are earlier turns of one of them"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            for batch in pq.ParquetFile(path).iter_batches():
                yield from batch.to_pylist()
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(path, "file", str(error), "give a Parquet file as published") from None
    elif path.suffix == ".json":
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(path, "file", str(error), "give a JSON list of rows") from None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(path, "rows", type(rows).__name__, "give a JSON list of objects")
        yield from rows
    else:
        yield from (row for _, row in read_jsonl(path))


if __name__ == "__main__":
    typer.run(import_released)
