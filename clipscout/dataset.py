"""`clipscout dataset` and `clipscout difficulty`: sets for training, and how often a policy solves each question."""
# ruff: noqa: RUF009 -- `option` makes a dataclasses.field

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clipscout.judge import JudgeOptions
from clipscout.options import StageOptions, ToolOptions, option, stage_command, tell_limit
from navigation import InputError

if TYPE_CHECKING:
    from data_gen.sets import Blocklist, SetSettings

KEPT, BENCHMARKS, RL = "Trajectories that are kept", "Decontamination", "RL questions"


@dataclass(kw_only=True)
class DatasetOptions(StageOptions):
    """Options of `clipscout dataset`."""

    data: Path = option("Folder with questions.jsonl, trees/ and trajectories.jsonl.")
    out: Path = option("Folder for the sets.")
    held_out_share: float = option("Share of videos in the test split.", 0.1)
    name: str = option("Name of the data set.", "ClipScout traces")
    license: str = option("License of the data set.", "other")
    report: Path | None = option("Also write the trajectories' report there (HTML).", None)
    keep: str = option("Right trajectories of a question: first, shortest or all.", "all", KEPT)
    most_hints: int | None = option("Drop trajectories that needed more hints.", None, KEPT)
    unsupported: str = option(
        "Trajectories whose answer nothing read supports: dropped where reasoning is derived, drop, or keep.",
        "derived",
        KEPT,
    )
    near_duplicates: float = option("Jaccard index from which trajectories count as one.", 0.9, KEPT)
    decontaminate: tuple[Path, ...] = option(
        "JSONL of benchmark questions, or text of video ids; repeatable.", (), BENCHMARKS
    )
    overlap: float = option("Share of 8-word runs that makes a question a benchmark's.", 0.6, BENCHMARKS)
    pass_rates: Path | None = option("What `clipscout difficulty` wrote.", None, RL)
    lowest_rate: float = option("RL questions are solved more often than this,", 0.0, RL)
    highest_rate: float = option("and less often than this.", 1.0, RL)

    @property
    def folder(self) -> Path:
        return self.out

    def read(self) -> tuple["SetSettings", "Blocklist", dict[str, float] | None]:
        """Settings, what is decontaminated against, and pass rates.

        Raises:
            InputError: a setting that cannot be, or a file that cannot be read.
        """
        from data_gen.filters import FilterSettings
        from data_gen.sets import Blocklist, SetSettings

        filters = FilterSettings(
            self.keep, self.unsupported, most_hints=self.most_hints, near_duplicates=self.near_duplicates
        )
        settings = SetSettings(
            self.held_out_share, filters, self.overlap, self.lowest_rate, self.highest_rate, self.name, self.license
        )
        rates = None if self.pass_rates is None else _rates(self.pass_rates)
        return settings, Blocklist.load(self.decontaminate, self.overlap), rates


def check_dataset(options: DatasetOptions) -> list[str]:
    """Reads the settings and the lists, and looks for the files of the folder."""
    options.read()
    for name in ("questions.jsonl", "trees", "trajectories.jsonl"):
        if not (options.data / name).exists():
            raise InputError(options.data, "data", f"no {name}", "give the folder of `make traces` or of the teacher")
    return [f"sets of {options.data} into {options.out}"]


def run_dataset(options: DatasetOptions) -> int:
    """Filter a folder's trajectories and write SFT and RL sets, split by video, that `load_dataset` and `trl sft` take.

    Exit code 0 if the sets are written, 2 if the input is wrong or nothing is left.
    """
    from data_gen.sets import export_sets
    from evaluation.trajectory_report import write_report

    settings, blocklist, rates = options.read()
    made = export_sets(options.data, options.out, settings, blocklist, rates)
    if options.report is not None:
        write_report(options.data, options.report, settings.filters)
    kept = made.filter
    typer.echo(f"{kept.kept} of {kept.trajectories} trajectories kept; sft {dict(made.sft)}, rl {dict(made.rl)}")
    for reason, count in kept.to_dict()["dropped"].items():
        typer.echo(f"  {reason} {count}")
    if left := kept.unsupported - kept.found["unsupported"]:
        typer.echo(f"kept although nothing read supports the answer: {left} (--unsupported drop leaves them out)")
    if made.blocked:
        typer.echo(f"decontamination: {dict(made.blocked)}")
    return 0


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


@dataclass(kw_only=True)
class DifficultyOptions(JudgeOptions, ToolOptions, StageOptions):
    """Options of `clipscout difficulty`."""

    data: Path = option("Folder with questions.jsonl and trees/.")
    out: Path = option("Folder for the trajectories and pass_rates.json.")
    policy: str = option("Who answers: local, or any policy of `clipscout eval`.", "local")
    model: str | None = option("For --policy local: folder or Hub name.", None)
    samples: int = option("Episodes for each question.", 8)
    temperature: float | None = option("Of the local model; default: 1, as in GRPO.", None)
    visits: int | None = option("Visits of random, uniform and retrieval.", None)
    turns: int = option("Most assistant messages of an episode.", 15)
    seed: int = option("Of the policy and of --limit.", 0)
    limit: int | None = option("At most this many questions, chosen at random by --seed.", None)
    in_flight: int = option("Episodes at once.", 64)

    @property
    def folder(self) -> Path:
        return self.out


def check_difficulty(options: DifficultyOptions) -> list[str]:
    """Looks for the files and the policy."""
    from clipscout.evaluate import check_corpus, check_policy

    check_policy(options.policy, options.model)
    return [f"{check_corpus(options.data, options.data / 'trees')} questions, {options.samples} episodes each"]


def run_difficulty(options: DifficultyOptions) -> int:
    """Roll a policy several times on each question and write the share it solves, for `clipscout dataset --pass-rates`.

    Run the same command again to go on after a stop. Exit code 0 if every question has its rate, 1 if trajectories
    failed, 2 if the command itself is wrong.
    """
    from data_gen.filters import pass_rates
    from evaluation.run import evaluate_corpus
    from navigation import Limits, Trajectory, read_trajectories, write_json

    given: dict[str, Any] = {"temperature": options.temperature, "visits": options.visits}
    if options.model is not None:
        given["checkpoint"] = options.model
    tell_limit(options.limit, options.seed)
    evaluate_corpus(
        options.data / "questions.jsonl",
        options.data / "trees",
        options.policy,
        options.out,
        seed=options.seed,
        samples=options.samples,
        concurrency=options.in_flight,
        limits=Limits(turns=options.turns),
        judge=options.judge(),
        limit=options.limit,
        **options.tool_settings(),
        **{name: value for name, value in given.items() if value is not None},
    )
    trajectories = failed = 0
    asked: set[str] = set()

    def counted() -> Iterator[Trajectory]:
        nonlocal trajectories, failed
        for trajectory in read_trajectories(options.out / "trajectories.jsonl"):
            trajectories += 1
            failed += trajectory.status == "failed"
            asked.add(trajectory.question_id)
            yield trajectory

    rates = pass_rates(counted())
    write_json(options.out / "pass_rates.json", rates)
    sometimes = sum(0 < rate < 1 for rate in rates.values())
    always, never = (sum(rate == bound for rate in rates.values()) for bound in (1, 0))
    typer.echo(
        f"{len(asked)} questions, {trajectories} trajectories, {failed} failed: {sometimes} solved sometimes, "
        f"{always} always, {never} never, {len(asked) - len(rates)} without a rate"
    )
    typer.echo(str(options.out / "pass_rates.json"))
    return 1 if failed else 0


dataset = stage_command(DatasetOptions, check_dataset, run_dataset)
difficulty = stage_command(DifficultyOptions, check_difficulty, run_difficulty)
