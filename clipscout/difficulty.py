"""`clipscout difficulty`: how often a policy solves each question of a traces folder."""

from pathlib import Path
from typing import Annotated

import typer

from navigation import InputError, Limits


def difficulty(
    folder: Annotated[Path, typer.Argument(help="Holds questions.jsonl and trees/.")],
    out: Annotated[Path, typer.Argument(help="Folder for the walks and pass_rates.json.")],
    policy: Annotated[str, typer.Option(help="Who walks: local, or any policy of `clipscout eval`.")] = "local",
    checkpoint: Annotated[str | None, typer.Option(help="For --policy local: folder or Hub name.")] = None,
    samples: Annotated[int, typer.Option(help="Walks for each question.")] = 8,
    temperature: Annotated[float | None, typer.Option(help="Of the local model; default: 1, as in GRPO.")] = None,
    visits: Annotated[int | None, typer.Option(help="Visits of random, uniform and retrieval.")] = None,
    turns: Annotated[int, typer.Option(help="Most assistant messages a walk.")] = 15,
    seed: int = 0,
    limit: Annotated[int | None, typer.Option(help="At most this many questions.")] = None,
    concurrency: Annotated[int, typer.Option(help="Walks at once.")] = 64,
) -> None:
    """Roll a policy several times on each question and write the share it solves, for `clipscout dataset --pass-rates`.

    Run the same command again to go on after a stop. Exit code 0 if every question has its rate, 1 if walks failed, 2
    if the command itself is wrong.
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
        walks = failed = 0
        asked: set[str] = set()

        def counted():
            nonlocal walks, failed
            for walk in read_trajectories(out / "trajectories.jsonl"):
                walks += 1
                failed += walk.status == "failed"
                asked.add(walk.question_id)
                yield walk

        rates = pass_rates(counted())
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    write_json(out / "pass_rates.json", rates)
    sometimes = sum(0 < rate < 1 for rate in rates.values())
    always, never = (sum(rate == bound for rate in rates.values()) for bound in (1, 0))
    typer.echo(
        f"{len(asked)} questions, {walks} walks, {failed} failed: {sometimes} solved sometimes, {always} always, "
        f"{never} never, {len(asked) - len(rates)} without a rate"
    )
    typer.echo(str(out / "pass_rates.json"))
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(difficulty)
