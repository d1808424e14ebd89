"""`clipscout judge`, and the options of a judge where answers in words are scored."""
# ruff: noqa: RUF009 -- `option` makes a dataclasses.field

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clipscout.options import option, told_errors
from navigation import InputError

if TYPE_CHECKING:
    from rewards.judge import JudgeSettings

JUDGE = "Judge of answers in words"


@dataclass(kw_only=True)
class JudgeOptions:
    """Who says whether an answer in words is right where rules cannot."""

    judge_url: str | None = option("OpenAI-compatible endpoint; without one rules decide alone.", None, JUDGE)
    judge_model: str | None = option("The model's name there.", None, JUDGE)
    judge_votes: int = option("Times it is asked, odd; fewer once most agree.", 3, JUDGE)
    judge_prompt: Path | None = option("File of its instructions, with {code} and {texts}.", None, JUDGE)
    judge_tokens: int = option("Completion tokens of one verdict.", 512, JUDGE)
    judge_usd: float | None = option("Stop before more than this is spent on verdicts of the folder.", None, JUDGE)
    judge_calibration: Path | None = option("calibration.json of this judge, to stand beside the results.", None, JUDGE)

    def judge(self, request: str = "", prices: Path | None = None) -> "JudgeSettings | None":
        """The judge's settings, None where no endpoint is given.

        Raises:
            InputError: an endpoint without a model, a model without an endpoint, or a setting that cannot be.
        """
        given = (self.judge_url, self.judge_model)
        if given == (None, None):
            return None
        if self.judge_url is None or self.judge_model is None:
            missing = "--judge-url" if self.judge_url is None else "--judge-model"
            raise InputError("command line", missing, None, "give --judge-url and --judge-model together")
        from rewards.judge import JudgeSettings

        return JudgeSettings(
            self.judge_url,
            self.judge_model,
            self.judge_votes,
            None if self.judge_prompt is None else str(self.judge_prompt),
            self.judge_tokens,
            self.judge_usd,
            request=request,
            prices=None if prices is None else str(prices),
        )

    def calibration(self, judge: "JudgeSettings | None") -> dict[str, Any] | None:
        """The calibration that is to stand beside the results, if it is this judge's.

        Raises:
            InputError: it is another's.
        """
        if self.judge_calibration is None:
            return None
        from rewards.answer import RULES
        from rewards.calibration import check_calibration

        return check_calibration(self.judge_calibration, RULES if judge is None else judge.to_dict())


commands = typer.Typer(help="Judges of answers in words.", no_args_is_help=True)


@commands.callback()
def _commands() -> None:
    """Judges of answers in words."""


@commands.command()
def calibrate(
    file: Annotated[Path | None, typer.Argument(help="Judged answers; default: the project's own pairs.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for calibration.json and the paid replies.")] = Path("runs/judge"),
    judge_url: Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint; none: the rules alone.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="The model's name there.")] = None,
    judge_votes: Annotated[int, typer.Option(help="Times it is asked, odd.")] = 3,
    judge_prompt: Annotated[Path | None, typer.Option(help="File of its instructions.")] = None,
    judge_tokens: Annotated[int, typer.Option(help="Completion tokens of one verdict.")] = 512,
    judge_usd: Annotated[float | None, typer.Option(help="Stop before more than this is spent.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many pairs, chosen by a hash.")] = None,
    request: Annotated[str, typer.Option(help="How requests are written, as for `clipscout eval`.")] = "",
) -> None:
    """Hold a judge against people: agreement, kappa, precision and recall of `right`, by kind, length and position.

    Exit code 1 where a pair got no verdict; run the same command again to ask for those alone.
    """
    with told_errors():
        options = JudgeOptions(
            judge_url=judge_url,
            judge_model=judge_model,
            judge_votes=judge_votes,
            judge_prompt=judge_prompt,
            judge_tokens=judge_tokens,
            judge_usd=judge_usd,
        )
        code = _calibrate(options.judge(request), file, out, limit)
    raise typer.Exit(code)


def _calibrate(judge: "JudgeSettings | None", file: Path | None, out: Path, limit: int | None) -> int:
    from navigation import write_json
    from navigation.question import first_by_hash
    from rewards.calibration import calibrate as hold_against
    from rewards.calibration import read_pairs
    from rewards.judge import ModelJudge

    pairs, left_out = read_pairs(file)
    pairs = [pairs[place] for place in first_by_hash([f"{p.question.id}/{p.answer}" for p in pairs], limit)]

    async def ask() -> dict[str, Any]:
        if judge is None:
            return await hold_against(pairs)
        async with ModelJudge(judge, out / "calibration_calls.jsonl") as model:
            found = await hold_against(pairs, model)
            return {**found, "requests": model.usage.to_dict()}

    found = {"file": "own pairs" if file is None else file.name, "left_out": dict(left_out), **asyncio.run(ask())}
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "calibration.json", found)
    for shown in calibration_tables(found):
        Console(width=110).print(shown)
    for reason, count in left_out.items():
        typer.echo(f"{count} rows left out: {reason}")
    typer.echo(str(out / "calibration.json"))
    return 1 if found["no_verdict"] else 0


def calibration_tables(found: Mapping[str, Any]) -> list[Table]:
    """A calibration as tables: over all, then by kind, length, rule and position."""
    judge = found["judge"]
    name = judge.get("model") or judge["judge"]
    title = (
        f"{name} on {found['pairs']} pairs; {found['no_verdict']} without a verdict, {found['cannot_tell']} undecided"
    )
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("pairs")
    for column in ("N", "agreement", "95 %", "kappa", "precision", "recall", "wrongly right"):
        table.add_column(column, justify="right")
    rows: list[tuple[str, Mapping[str, Any]]] = [("all", found), ("all, rules alone", found["rules"])]
    for part in ("kind", "length", "rule", "position"):
        rows += [("", {}), *((f"{part}: {label}", row) for label, row in found.get(f"by_{part}", {}).items())]
    for label, row in rows:
        if not row:
            table.add_section()
            continue
        low, high = row["agreement_ci"] or (None, None)
        interval = "" if low is None else f"{low:.3f}-{high:.3f}"
        cells = [_number(row[name]) for name in ("agreement", "kappa", "precision", "recall")]
        shown = [str(row["n"]), cells[0], interval, *cells[1:], str(row["false_right"])]
        table.add_row(Text(label.replace("_", " ")), *shown)
    return [table]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
