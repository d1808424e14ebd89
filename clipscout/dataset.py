"""`clipscout dataset` and `clipscout difficulty`: sets for training, and how often a policy solves each question."""

import json
from pathlib import Path
from typing import Annotated

import typer

from navigation import InputError, Limits


def dataset(
    folder: Annotated[Path, typer.Argument(help="Holds questions.jsonl, trees/ and trajectories.jsonl.")],
    out: Annotated[Path, typer.Argument(help="Folder for the sets.")],
    held_out: Annotated[float, typer.Option(help="Share of videos in the test split.")] = 0.1,
    keep: Annotated[str, typer.Option(help="Right trajectories of a question: first, shortest or all.")] = "all",
    most_hints: Annotated[int | None, typer.Option(help="Drop trajectories that needed more hints.")] = None,
    decontaminate: Annotated[
        list[Path] | None, typer.Option(help="JSONL of benchmark questions, or text of video ids; repeatable.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Share of 8-word runs that makes a question a benchmark's.")] = 0.6,
    near_duplicates: Annotated[float, typer.Option(help="Jaccard index from which navigates count as one.")] = 0.9,
    pass_rates: Annotated[Path | None, typer.Option(help="What `clipscout difficulty` wrote.")] = None,
    lowest_rate: Annotated[float, typer.Option(help="RL questions are solved more often than this,")] = 0.0,
    highest_rate: Annotated[float, typer.Option(help="and less often than this.")] = 1.0,
    name: Annotated[str, typer.Option(help="Name of the data set.")] = "ClipScout traces",
    license: Annotated[str, typer.Option(help="License of the data set.")] = "other",
    report: Annotated[Path | None, typer.Option(help="Also write the trajectories' report there (HTML).")] = None,
) -> None:
    """Filter the trajectories of FOLDER and write SFT and RL sets, split by video, that `load_dataset` and `trl sft`
    take.

    Exit code 0 if the sets are written, 2 if the input is wrong or nothing is left.
    """
    from data_gen.filters import FilterSettings
    from data_gen.sets import Blocklist, SetSettings, export_sets
    from data_gen.teacher.report import write_report

    try:
        filters = FilterSettings(keep, most_hints=most_hints, near_duplicates=near_duplicates)
        settings = SetSettings(held_out, filters, overlap, lowest_rate, highest_rate, name, license)
        rates = None if pass_rates is None else _rates(pass_rates)
        made = export_sets(folder, out, settings, Blocklist.load(decontaminate or (), overlap), rates)
        if report is not None:
            write_report(folder, report, settings.filters)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    kept = made.filter
    typer.echo(f"{kept.kept} of {kept.trajectories} trajectories kept; sft {dict(made.sft)}, rl {dict(made.rl)}")
    for reason, count in kept.to_dict()["dropped"].items():
        typer.echo(f"  {reason} {count}")
    if made.blocked:
        typer.echo(f"decontamination: {dict(made.blocked)}")


def _rates(path: Path) -> dict[str, float]:
    try:
        rates = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, "file", str(error), "give the pass_rates.json of `clipscout difficulty`") from None
    if not isinstance(rates, dict) or not all(type(rate) in (int, float) and 0 <= rate <= 1 for rate in rates.values()):
        raise InputError(
            path, "pass rates", type(rates).__name__, "give an object of question id to a rate from 0 to 1"
        )
    return rates


if __name__ == "__main__":
    typer.run(dataset)


def difficulty(
    folder: Annotated[Path, typer.Argument(help="Holds questions.jsonl and trees/.")],
    out: Annotated[Path, typer.Argument(help="Folder for the trajectories and pass_rates.json.")],
    policy: Annotated[str, typer.Option(help="Who trajectories: local, or any policy of `clipscout eval`.")] = "local",
    checkpoint: Annotated[str | None, typer.Option(help="For --policy local: folder or Hub name.")] = None,
    samples: Annotated[int, typer.Option(help="Trajectories for each question.")] = 8,
    temperature: Annotated[float | None, typer.Option(help="Of the local model; default: 1, as in GRPO.")] = None,
    visits: Annotated[int | None, typer.Option(help="Visits of random, uniform and retrieval.")] = None,
    turns: Annotated[int, typer.Option(help="Most assistant messages a trajectory.")] = 15,
    seed: int = 0,
    limit: Annotated[int | None, typer.Option(help="At most this many questions.")] = None,
    concurrency: Annotated[int, typer.Option(help="Trajectories at once.")] = 64,
) -> None:
    """Roll a policy several times on each question and write the share it solves, for `clipscout dataset --pass-rates`.

    Run the same command again to go on after a stop. Exit code 0 if every question has its rate, 1 if trajectories
    failed, 2 if the command itself is wrong.
    """
    from data_gen.filters import pass_rates
    from evaluation.run import evaluate_corpus
    from navigation import write_json
    from runtime.jsonl import read_trajectories

    given = {"checkpoint": checkpoint, "temperature": temperature, "visits": visits}
    options = {name: value for name, value in given.items() if value is not None}
    try:
        evaluate_corpus(
            folder / "questions.jsonl", folder / "trees", policy, out, seed=seed, samples=samples,
            concurrency=concurrency, limits=Limits(turns=turns), limit=limit, **options,
        )  # fmt: skip
        trajectories = failed = 0
        asked: set[str] = set()

        def counted():
            nonlocal trajectories, failed
            for trajectory in read_trajectories(out / "trajectories.jsonl"):
                trajectories += 1
                failed += trajectory.status == "failed"
                asked.add(trajectory.question_id)
                yield trajectory

        rates = pass_rates(counted())
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    write_json(out / "pass_rates.json", rates)
    sometimes = sum(0 < rate < 1 for rate in rates.values())
    always, never = (sum(rate == bound for rate in rates.values()) for bound in (1, 0))
    typer.echo(
        f"{len(asked)} questions, {trajectories} trajectories, {failed} failed: {sometimes} solved sometimes, "
        f"{always} always, {never} never, {len(asked) - len(rates)} without a rate"
    )
    typer.echo(str(out / "pass_rates.json"))
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(difficulty)
