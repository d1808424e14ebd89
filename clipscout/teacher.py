"""`clipscout teacher`: trajectories of a language model over a corpus folder, filtered by nothing yet."""

from pathlib import Path
from typing import Annotated

import typer

from navigation import InputError


def teacher(
    folder: Annotated[Path, typer.Argument(help="Holds questions.jsonl and trees/; trajectories.jsonl comes in.")],
    url: Annotated[str, typer.Option(help="OpenAI-compatible endpoint; its key is read from OPENAI_API_KEY.")],
    model: Annotated[str, typer.Option(help="Model that the endpoint serves.")],
    samples: Annotated[int, typer.Option(help="Trajectories for each question.")] = 1,
    temperature: Annotated[float, typer.Option()] = 0.7,
    max_tokens: Annotated[int, typer.Option(help="Completion tokens of one reply.")] = 2048,
    rounds: Annotated[int, typer.Option(help="Replies in one trajectory, malformed and wrong ones included.")] = 30,
    tokens: Annotated[int | None, typer.Option(help="Completion tokens of one trajectory.")] = None,
    malformed: Annotated[int, typer.Option(help="So many malformed replies in a row end a trajectory.")] = 3,
    trajectory_usd: Annotated[float | None, typer.Option(help="Money one trajectory may cost.")] = None,
    hint_levels: Annotated[int | None, typer.Option(help="Hints that name segments; default: one a level.")] = None,
    verify_hint: Annotated[bool, typer.Option(help="A last hint asks to verify with video_qa.")] = True,
    videos: Annotated[Path | None, typer.Option(help="Folder of videos, for video_qa from their frames.")] = None,
    clip_url: Annotated[str, typer.Option(help="Endpoint of the vision model; default: the teacher's.")] = "",
    clip_model: Annotated[str, typer.Option(help="Vision model that answers video_qa.")] = "",
    in_flight: Annotated[int, typer.Option(help="Ceiling on requests at once.")] = 64,
    attempts: Annotated[int, typer.Option(help="Requests for one reply before it counts as failed.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds until a request is given up.")] = 600.0,
    prices: Annotated[Path | None, typer.Option(help="Price table (YAML).")] = None,
    max_usd: Annotated[float | None, typer.Option(help="Stop before more than this is spent on FOLDER.")] = None,
    executor: Annotated[str, typer.Option(help="local, slurm or ray.")] = "local",
    tasks: Annotated[int, typer.Option(help="Shares of the questions; on this machine, processes.")] = 1,
    rank: Annotated[int | None, typer.Option(help="Do this share only, from 0, for a scheduler's arrays.")] = None,
    partition: Annotated[str, typer.Option(help="Slurm partition.")] = "",
    time_limit: Annotated[str, typer.Option(help="Slurm time limit.")] = "24:00:00",
    venv: Annotated[Path | None, typer.Option(help="The environment's activate file, for Slurm.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only write out and say what is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Let a model navigate every question of FOLDER. Run the same command again to go on after a stop.

    Exit code 0 if every trajectory has ended, 1 if anything is missing, 2 if the command itself is wrong.
    """
    from data_gen import teacher as stage
    from data_gen.teacher.stage import teach_share
    from runtime import EndpointSettings
    from runtime.budget import PRICES

    options: dict = {}
    if executor == "slurm":
        options = {"partition": partition, "time": time_limit, "job_name": "teacher"}
        options |= {"venv_path": str(venv)} if venv else {}
    try:
        if (videos is None) != (not clip_model):
            raise InputError("teacher", "videos", videos, "give --videos and --clip-model together, or neither")
        settings = stage.TeacherSettings(
            model, samples, temperature, max_tokens, rounds, tokens, malformed, trajectory_usd,
            stage.HintSettings(hint_levels, verify_hint), clip_model,
        )  # fmt: skip
        endpoint = EndpointSettings(url, model, in_flight, attempts, timeout)
        clips = EndpointSettings(clip_url or url, clip_model, in_flight, attempts, timeout) if clip_model else None
        pace = stage.Pace(in_flight, 4 * in_flight)
        job = stage.TeacherJob(folder, settings, endpoint, tasks, videos, clips, prices or PRICES, max_usd, pace)
        if check:
            report = stage.collect(job)
        elif rank is not None:
            executor = "local"
            report = teach_share(job, rank, quiet)
        else:
            report = stage.teach_questions(job, executor, quiet, **options)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("stopped: run the same command again to go on", err=True)
        raise typer.Exit(130) from None
    if executor == "slurm" and not check:
        typer.echo("submitted; the same command with --check writes out what is there")
        return
    for line in report.lines():
        typer.echo(line)
    raise typer.Exit(0 if report.complete else 1)


if __name__ == "__main__":
    typer.run(teacher)
