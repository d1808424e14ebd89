"""`clipscout captions`: caption trees of a folder of videos."""

from pathlib import Path
from typing import Annotated

import typer

from clipscout.tree import plain
from navigation import InputError


def _numbers(text: str, name: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError("captions", name, text, "give whole numbers with commas between, leaves first") from None


def captions(
    videos: Annotated[Path, typer.Argument(help="Folder of videos (subfolders count), or one video.")],
    out: Annotated[Path, typer.Argument(help="Folder for the trees, one <video>.json each.")],
    url: Annotated[str, typer.Option(help="OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.")] = "",
    model: Annotated[str, typer.Option(help="Model that the endpoint serves.")] = "",
    captioner: Annotated[str, typer.Option(help="endpoint, subtitles or annotations.")] = "endpoint",
    strategy: Annotated[
        str, typer.Option(help="frames: all levels from frames; bottom_up: only the leaves.")
    ] = "frames",
    frames: Annotated[str, typer.Option(help="Frames of a segment by level, leaves first.")] = "32,64,128",
    sides: Annotated[str, typer.Option(help="Longest side of a frame in px by level, leaves first.")] = "512,362,256",
    quality: Annotated[int, typer.Option(help="JPEG quality.")] = 75,
    words: Annotated[str, typer.Option(help="Word limits by level, leaves first.")] = "80,120,160",
    subtitles: Annotated[bool, typer.Option(help="Put each segment's subtitles into its prompt.")] = True,
    annotations: Annotated[Path | None, typer.Option(help="JSONL of {video_id, start, end, text}.")] = None,
    minimum_width: Annotated[int, typer.Option(help="Least width of a tree (MLVU: 3).")] = 4,
    depth: Annotated[str, typer.Option(help="Levels, or auto for leaves of at most 16 s.")] = "3",
    accept_damaged: Annotated[bool, typer.Option(help="Caption what can be decoded of damaged videos.")] = False,
    prompts: Annotated[Path | None, typer.Option(help="Folder with your own prompt files.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Completion tokens a caption.")] = 1024,
    temperature: Annotated[float, typer.Option()] = 0.0,
    in_flight: Annotated[int, typer.Option(help="Ceiling on requests at once.")] = 64,
    attempts: Annotated[int, typer.Option(help="Requests for one caption before it counts as failed.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds until a request is given up.")] = 600.0,
    decoding: Annotated[int, typer.Option(help="Videos decoded at once by a process.")] = 2,
    frame_mb: Annotated[int, typer.Option(help="Bound on JPEGs that wait for captions, in MB a process.")] = 96,
    prices: Annotated[Path | None, typer.Option(help="Price table (YAML).")] = None,
    max_usd: Annotated[float | None, typer.Option(help="Stop before more than this is spent on OUT.")] = None,
    executor: Annotated[str, typer.Option(help="local, slurm or ray.")] = "local",
    tasks: Annotated[int, typer.Option(help="Shares of the videos; on this machine, processes.")] = 1,
    rank: Annotated[int | None, typer.Option(help="Do this share only, from 0, for a scheduler's arrays.")] = None,
    partition: Annotated[str, typer.Option(help="Slurm partition.")] = "",
    time_limit: Annotated[str, typer.Option(help="Slurm time limit.")] = "24:00:00",
    venv: Annotated[Path | None, typer.Option(help="The environment's activate file, for Slurm.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what is there and what is missing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Caption every video of a folder, each decoded once. Run the same command again to go on after a stop.

    Exit code 0 if every video has its tree, 1 if anything is missing, 2 if the command itself is wrong.
    """
    from data_gen import captions as stage
    from data_gen.captions.run import Pace
    from data_gen.captions.settings import PROMPTS
    from data_gen.captions.stage import caption_share
    from data_gen.captions.stage import check as check_out
    from data_gen.frames import FrameRecipe
    from runtime import EndpointSettings
    from runtime.budget import PRICES

    options: dict = {}
    if executor == "slurm":
        options = {"partition": partition, "time": time_limit, "job_name": "captions", "cpus_per_task": decoding}
        options |= {"venv_path": str(venv)} if venv else {}
    try:
        levels = "auto" if depth == "auto" else _numbers(depth, "depth")[0]
        settings = stage.CaptionSettings(
            captioner, model, strategy, FrameRecipe(_numbers(frames, "frames"), _numbers(sides, "sides"), quality),
            _numbers(words, "words"), subtitles, minimum_width, levels,
            max_tokens, temperature, prompts or PROMPTS, accept_damaged,
        )  # fmt: skip
        endpoint = EndpointSettings(url, model, in_flight, attempts, timeout) if captioner == "endpoint" else None
        pace = Pace(in_flight, decoding, frame_mb * 1_000_000)
        job = stage.CaptionJob(videos, out, settings, endpoint, pace, prices or PRICES, max_usd, annotations)
        if check:
            report = check_out(job)
        elif rank is not None:
            executor = "local"
            report = caption_share(job, rank, tasks, quiet)
        else:
            report = stage.caption_videos(job, executor, tasks, quiet, **options)
    except (InputError, OSError) as error:
        typer.echo(f"error: {plain(str(error))}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("stopped: run the same command again to go on", err=True)
        raise typer.Exit(130) from None
    if executor == "slurm" and not check:
        typer.echo("submitted; the same command with --check says what is there")
        return
    for line in report.lines():
        typer.echo(plain(line))
    raise typer.Exit(0 if report.complete else 1)


if __name__ == "__main__":
    typer.run(captions)
