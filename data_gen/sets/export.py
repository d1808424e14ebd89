"""From a traces folder to the SFT and RL data sets."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data_gen.filters import FilterReport, FilterSettings, filter_walks
from data_gen.sets.card import write_card
from data_gen.sets.decontamination import Blocklist
from data_gen.sets.parquet import ParquetFile
from data_gen.sets.rows import RL_COLUMNS, SFT_COLUMNS, rl_row, sft_row, walk_figures
from data_gen.teacher.trajectory_file import read_trajectories
from navigation import InputError, Question, TreeStore, read_questions, write_json
from navigation.question import held_out

SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class SetSettings:
    """How the sets are made.

    Args:
        held_out_share: Share of videos in the test split; the trainers' rule, by video id alone.
        filters: Which walks are fit for SFT.
        overlap: See `Blocklist`.
        lowest, highest: Questions whose pass rate lies strictly between go into the RL set, where rates are given.
        name: Of the data set, for the card.
        licence: Of the data set, for the card; its sources decide it.
    """

    held_out_share: float = 0.1
    filters: FilterSettings = field(default_factory=FilterSettings)
    overlap: float = 0.6
    lowest: float = 0.0
    highest: float = 1.0
    name: str = "ClipScout traces"
    licence: str = "other"

    def __post_init__(self) -> None:
        if not 0 <= self.held_out_share < 1:
            raise InputError("sets", "held_out_share", self.held_out_share, "give a share from 0 to below 1")
        if not 0 <= self.lowest < self.highest <= 1:
            raise InputError("sets", "lowest, highest", [self.lowest, self.highest], "give 0 <= lowest < highest <= 1")


@dataclass(slots=True)
class SetReport:
    """Real figures of the sets; the card is written from them."""

    questions: int = 0
    blocked: Counter = field(default_factory=Counter)
    difficulty_dropped: int = 0
    no_pass_rate: int = 0
    filter: FilterReport = field(default_factory=FilterReport)
    blocked_walks: int = 0
    sft: Counter = field(default_factory=Counter)
    rl: Counter = field(default_factory=Counter)
    sft_videos: dict[str, int] = field(default_factory=dict)
    rl_videos: dict[str, int] = field(default_factory=dict)
    sources: Counter = field(default_factory=Counter)
    teachers: Counter = field(default_factory=Counter)
    means: dict[str, float] = field(default_factory=dict)
    usd: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        record = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("blocked", "sft", "rl", "sources", "teachers"):
            record[name] = dict(getattr(self, name))
        return record | {"filter": self.filter.to_dict()}


def export_sets(
    folder: str | Path,
    out: str | Path,
    settings: SetSettings | None = None,
    blocklist: Blocklist | None = None,
    pass_rates: Mapping[str, float] | None = None,
) -> SetReport:
    """Writes `sft/{train,test}.parquet`, `rl/{train,test}.parquet`, `README.md` and `figures.json` under `out`.

    `datasets.load_dataset(out, "sft")` and `(out, "rl")` read them. Walks are read, filtered and written one at a time,
    so memory does not grow with them.

    Args:
        folder: Holds `questions.jsonl`, `trees/` and `trajectories.jsonl`.
        out: Folder to write.
        settings: How.
        blocklist: Benchmark questions and videos to leave out.
        pass_rates: By question id, for the difficulty filter; None: no question is dropped for it.

    Raises:
        InputError: a file is missing or broken, or nothing is left for SFT's training split.
    """
    folder, out, settings = Path(folder), Path(out), settings or SetSettings()
    blocklist = blocklist or Blocklist()
    for name in ("questions.jsonl", "trees", "trajectories.jsonl"):
        if not (folder / name).exists():
            raise InputError(folder, "data", name, "not there: make this folder with `make traces` first")
    report = SetReport(settings=asdict(settings))
    questions: dict[str, Question] = {}
    blocked: set[str] = set()
    for question in read_questions(folder / "questions.jsonl"):
        report.questions += 1
        reason = blocklist.reason(question)
        if reason:
            report.blocked[reason] += 1
            blocked.add(question.id)
        questions[question.id] = question
    _write_rl(out, (q for q in questions.values() if q.id not in blocked), settings, pass_rates, report)
    _write_sft(folder, out, questions, blocked, settings, report)
    if not report.sft["train"]:
        raise InputError(
            folder, "trajectories.jsonl", report.filter.to_dict()["dropped"], "no walk for training is left"
        )
    write_json(out / "figures.json", report.to_dict())
    write_card(out / "README.md", settings.name, settings.licence, report.to_dict())
    return report


def _write_rl(
    out: Path,
    questions: Iterable[Question],
    settings: SetSettings,
    rates: Mapping[str, float] | None,
    report: SetReport,
) -> None:
    videos: dict[str, set[str]] = {split: set() for split in SPLITS}
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(ParquetFile(out / "rl" / f"{split}.parquet", RL_COLUMNS)) for split in SPLITS
        }
        for question in questions:
            rate = None if rates is None else rates.get(question.id)
            split = _split(question.video_id, settings)
            # The test split keeps every question: it measures, it does not teach.
            if rates is not None and split == "train":
                if rate is None:
                    report.no_pass_rate += 1
                    continue
                if not settings.lowest < rate < settings.highest:
                    report.difficulty_dropped += 1
                    continue
            files[split].write(rl_row(question, rate))
            videos[split].add(question.video_id)
        report.rl = Counter({split: file.rows for split, file in files.items()})
    report.rl_videos = {split: len(each) for split, each in videos.items()}


def _write_sft(
    folder: Path, out: Path, questions: dict[str, Question], blocked: set[str], settings: SetSettings, report: SetReport
) -> None:
    def allowed():
        for walk in read_trajectories(folder / "trajectories.jsonl"):
            if walk.question_id in blocked:
                report.blocked_walks += 1
            else:
                yield walk

    videos: dict[str, set[str]] = {split: set() for split in SPLITS}
    sums: Counter = Counter()
    trees = TreeStore(folder / "trees", capacity=64)
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(ParquetFile(out / "sft" / f"{split}.parquet", SFT_COLUMNS)) for split in SPLITS
        }
        for walk in filter_walks(allowed(), questions, trees, settings.filters, report.filter):
            question = questions[walk.question_id]
            split = _split(walk.video_id, settings)
            files[split].write(sft_row(walk, question))
            videos[split].add(walk.video_id)
            sums.update(walk_figures(walk))
            report.sources[question.source] += 1
            report.teachers[str(walk.teacher.get("model", ""))] += 1
            report.usd += float(walk.teacher.get("usd", 0.0))
        report.sft = Counter({split: file.rows for split, file in files.items()})
    kept = report.filter.kept
    report.means = {name: total / kept for name, total in sums.items()} if kept else {}
    report.sft_videos = {split: len(each) for split, each in videos.items()}


def _split(video_id: str, settings: SetSettings) -> str:
    return "test" if held_out(video_id, settings.held_out_share) else "train"
