"""`clipscout import-released`: LongVideo-R1's published SFT and RL rows in ClipScout's shapes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from navigation import InputError


def import_released(
    file: Annotated[Path, typer.Argument(help="The SFT or RL file as published: .json, .jsonl or .parquet.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
) -> None:
    """Turn published SFT conversations into OUT/sft/train.parquet, or published RL rows into OUT/questions.jsonl.

    Which of the two a file holds is seen from its rows. Rows that cannot be used are in OUT/skipped.jsonl with their
    reason. Exit code 2 if the file cannot be read or no row of it can be used.
    """
    from navigation import SkippedRow
    from runtime.jsonl import write_lines

    try:
        rows = list(_rows(file))
        if not rows:
            raise InputError(file, "rows", 0, "this file holds none")
        write = _write_rl if "right_answer" in rows[0] else _write_sft
        made, told = write(rows, out)
        skipped = [row for row in made if isinstance(row, SkippedRow)]
        write_lines(out / "skipped.jsonl", (row.to_dict() for row in skipped))
        if len(skipped) == len(made):
            raise InputError(file, "rows", f"none of {len(rows)} can be used", f"see {out / 'skipped.jsonl'}")
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(rows)} rows: {told}, {len(skipped)} skipped")


def _write_rl(rows: list[dict[str, Any]], out: Path) -> tuple[list[Any], str]:
    from data_gen.sets import import_released_rl, released_videos
    from navigation import Question, write_jsonl

    made = list(import_released_rl(rows))
    questions = [row for row in made if isinstance(row, Question)]
    videos = released_videos(rows)
    write_jsonl(out / "questions.jsonl", (question.to_dict() for question in questions))
    write_jsonl(out / "videos.jsonl", videos)
    return made, f"{len(questions)} questions on {len(videos)} videos"


def _write_sft(rows: list[dict[str, Any]], out: Path) -> tuple[list[Any], str]:
    from data_gen.sets import import_released_sft, longest_only
    from data_gen.sets.parquet import ParquetFile
    from longvideo_r1.rows import SFT_COLUMNS

    made = list(import_released_sft(rows))
    walks = [row for row in made if isinstance(row, dict)]
    kept = longest_only(walks)
    with ParquetFile(out / "sft" / "train.parquet", SFT_COLUMNS) as file:
        file.write_all(kept)
    return made, f"{len(kept)} walks kept, {len(walks) - len(kept)} are earlier turns of one of them"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    from runtime.jsonl import read_rows

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
        yield from read_rows(path)


if __name__ == "__main__":
    typer.run(import_released)
