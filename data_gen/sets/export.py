"""From a traces folder to the SFT and RL data sets, row by row, with a card written from the export's figures."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from data_gen.filters import FilterReport, FilterSettings, Supports, filter_trajectories, lexically_supported
from data_gen.sets.decontamination import Blocklist
from data_gen.sets.parquet import OLDEST_DATASETS, ParquetFile
from navigation import (
    DEFAULT_TOOLS,
    CaptionTree,
    InputError,
    Question,
    Trajectory,
    TreeStore,
    initial_messages,
    read_questions,
    read_trajectories,
    repeats,
    tool_schemas,
    write_atomic,
    write_json,
)
from navigation.question import held_out
from navigation.tools import names_of

SFT_COLUMNS = {
    "messages": "json_list", "tools": "json_list", "id": "text", "question_id": "text", "video_id": "text",
    "source": "text", "kind": "text", "answer": "text", "turns": "int", "visits": "int", "hints": "int",
    "teacher": "text", "prompt_tokens": "int", "completion_tokens": "int", "usd": "float",
}  # fmt: skip
RL_COLUMNS = {
    "prompt": "json_list", "id": "text", "video_id": "text", "question": "text", "options": "texts", "answer": "text",
    "clue_intervals": "spans", "duration": "float", "source": "text", "kind": "text", "pass_rate": "float",
}  # fmt: skip
SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class SetSettings:
    """How the sets are made.

    Args:
        held_out_share: Share of videos in the test split; the trainers' rule, by video id alone.
        filters: Which trajectories are fit for SFT.
        overlap: See `Blocklist`.
        lowest, highest: Questions whose pass rate lies strictly between go into the RL set, where rates are given.
        name: Of the data set, for the card.
        license: Of the data set, for the card; its sources decide it.
    """

    held_out_share: float = 0.1
    filters: FilterSettings = field(default_factory=FilterSettings)
    overlap: float = 0.6
    lowest: float = 0.0
    highest: float = 1.0
    name: str = "ClipScout traces"
    license: str = "other"

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
    blocked_trajectories: int = 0
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
    supports: Supports = lexically_supported,
) -> SetReport:
    """Writes `{sft,rl}/{train,test}.parquet`, the same rows as `.jsonl`, `README.md` and `figures.json` under `out`.

    `datasets.load_dataset(out, "sft")` and `(out, "rl")` read them. Trajectories are read, filtered and written one at
    a time, so memory does not grow with them.

    Args:
        folder: Holds `questions.jsonl`, `trees/` and `trajectories.jsonl`.
        out: Folder to write.
        settings: How.
        blocklist: Benchmark questions and videos to leave out.
        pass_rates: By question id, for the difficulty filter; None: no question is dropped for it.
        supports: See `filter_trajectories`.

    Raises:
        InputError: a file is missing or broken, or nothing is left for SFT's training split.
    """
    folder, out, settings = Path(folder), Path(out), settings or SetSettings()
    blocklist = blocklist or Blocklist()
    for name in ("questions.jsonl", "trees", "trajectories.jsonl"):
        if not (folder / name).exists():
            raise InputError(folder, "data", name, "not there: make this folder with `make traces` first")
    report = SetReport(settings=asdict(settings))
    first = next(read_trajectories(folder / "trajectories.jsonl"), None)
    tools = (names_of(first.tools) if first is not None else ()) or DEFAULT_TOOLS
    questions: dict[str, Question] = {}
    blocked: set[str] = set()
    for question in read_questions(folder / "questions.jsonl"):
        report.questions += 1
        reason = blocklist.reason(question)
        if reason:
            report.blocked[reason] += 1
            blocked.add(question.id)
        questions[question.id] = question
    trees = TreeStore(folder / "trees", capacity=64)
    allowed = (q for q in questions.values() if q.id not in blocked)
    _write_rl(out, allowed, settings, pass_rates, trees, report, tools)
    _write_sft(folder, out, questions, blocked, settings, report, supports)
    if not report.sft["train"]:
        raise InputError(
            folder, "trajectories.jsonl", report.filter.to_dict()["dropped"], "no trajectory for training is left"
        )
    write_json(out / "figures.json", report.to_dict())
    write_card(out / "README.md", settings.name, settings.license, report.to_dict())
    return report


def _write_rl(
    out: Path,
    questions: Iterable[Question],
    settings: SetSettings,
    rates: Mapping[str, float] | None,
    trees: TreeStore,
    report: SetReport,
    tools: Sequence[str],
) -> None:
    videos: dict[str, set[str]] = {split: set() for split in SPLITS}
    questions = list(questions)
    columns = RL_COLUMNS
    if any(question.references for question in questions):
        columns = RL_COLUMNS | {"references": "texts"}
    with ExitStack() as stack:
        files = {split: stack.enter_context(ParquetFile(out / "rl" / f"{split}.parquet", columns)) for split in SPLITS}
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
            row = rl_row(question, trees[question.video_id], rate, tools)
            files[split].write({name: row.get(name, []) for name in columns} if columns is not RL_COLUMNS else row)
            videos[split].add(question.video_id)
        report.rl = Counter({split: file.rows for split, file in files.items()})
    report.rl_videos = {split: len(each) for split, each in videos.items()}


def _write_sft(
    folder: Path,
    out: Path,
    questions: dict[str, Question],
    blocked: set[str],
    settings: SetSettings,
    report: SetReport,
    supports: Supports,
) -> None:
    def allowed() -> Iterator[Trajectory]:
        for trajectory in read_trajectories(folder / "trajectories.jsonl"):
            if trajectory.question_id in blocked:
                report.blocked_trajectories += 1
            else:
                yield trajectory

    videos: dict[str, set[str]] = {split: set() for split in SPLITS}
    sums: Counter = Counter()
    trees = TreeStore(folder / "trees", capacity=64)
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(ParquetFile(out / "sft" / f"{split}.parquet", SFT_COLUMNS)) for split in SPLITS
        }
        for trajectory in filter_trajectories(allowed(), questions, trees, settings.filters, report.filter, supports):
            question = questions[trajectory.question_id]
            split = _split(trajectory.video_id, settings)
            files[split].write(sft_row(trajectory, question))
            videos[split].add(trajectory.video_id)
            sums.update(trajectory_figures(trajectory))
            report.sources[question.source] += 1
            report.teachers[str(trajectory.teacher.get("model", ""))] += 1
            report.usd += float(trajectory.teacher.get("usd", 0.0))
        report.sft = Counter({split: file.rows for split, file in files.items()})
    kept = report.filter.kept
    report.means = {name: total / kept for name, total in sums.items()} if kept else {}
    report.sft_videos = {split: len(each) for split, each in videos.items()}


def _split(video_id: str, settings: SetSettings) -> str:
    return "test" if held_out(video_id, settings.held_out_share) else "train"


def sft_row(trajectory: Trajectory, question: Question) -> dict[str, Any]:
    """One conversation: `messages` and `tools` as `trl sft` takes them, and what is known of the trajectory.

    Trained on are reasoning, calls and answer; everything else is context.
    """
    teacher = trajectory.teacher
    return {
        "messages": trajectory.messages,
        "tools": tool_schemas(names_of(trajectory.tools) or DEFAULT_TOOLS),
        "id": trajectory.id,
        "question_id": trajectory.question_id,
        "video_id": trajectory.video_id,
        "source": question.source,
        "kind": question.kind,
        "answer": question.right_answer,
        "turns": trajectory.turns,
        "visits": len(trajectory.visits),
        "hints": int(teacher.get("hints", 0)),
        "teacher": str(teacher.get("model", "")),
        "prompt_tokens": trajectory.prompt_tokens,
        "completion_tokens": trajectory.completion_tokens,
        "usd": float(teacher.get("usd", 0.0)),
    }


def rl_row(
    question: Question, tree: CaptionTree, pass_rate: float | None = None, tools: Sequence[str] = DEFAULT_TOOLS
) -> dict[str, Any]:
    """One question: `prompt` for GRPO, and the columns that environment and rewards read."""
    return {"prompt": initial_messages(question, tree, tools), **question.to_dict(), "pass_rate": pass_rate}


def trajectory_figures(trajectory: Trajectory) -> dict[str, float]:
    """What the card averages over."""
    return {
        "turns": trajectory.turns,
        "visits": len(trajectory.visits),
        "repeats": repeats(trajectory.visits),
        "video_qa": sum(visit.tool == "video_qa" for visit in trajectory.visits),
        "hints": int(trajectory.teacher.get("hints", 0)),
    }


def write_card(path: str | Path, name: str, license: str, figures: Mapping[str, Any]) -> None:
    """Writes README.md: the header that the Hub and `load_dataset` read, and what the set holds."""
    sets = [key for key in ("sft", "rl") if sum(figures[key].values())]
    header = {
        "pretty_name": name,
        "license": license,
        "task_categories": ["video-text-to-text", "question-answering"],
        "language": ["en"],
        "configs": [
            {
                "config_name": key,
                **({"default": True} if key == "sft" else {}),
                "data_files": [
                    {"split": split, "path": f"{key}/{split}.parquet"}
                    for split in ("train", "test")
                    if figures[key][split]
                ],
            }
            for key in sets
        ],
    }
    dumped = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    write_atomic(path, f"---\n{dumped}---\n\n" + "\n".join(_body(name, figures)) + "\n")


def _body(name: str, figures: Mapping[str, Any]) -> list[str]:
    kept = figures["filter"]
    share = kept["closed_book_share"]
    means = figures["means"]
    lines = [
        f"# {_plain(name)}",
        "",
        "Trajectories over caption trees of videos, by a teacher that thinks aloud, opens captions (`get_caption`), "
        "asks about clips (`video_qa`) and answers. `sft` holds conversations (`messages`, `tools`), `rl` questions "
        "(`prompt`, answer, clue intervals). Splits are by video: no video is in both.",
        "",
        f"The Parquet files need `datasets` {OLDEST_DATASETS} or newer (their features are `Json` and `List`). The "
        'same rows stand beside them as JSON lines for older versions and other readers: `load_dataset("json", '
        'data_files="sft/train.jsonl")`. Older versions fill keys that one call has and another lacks with null.',
        "",
        "| set | train | test | videos, train | videos, test |",
        "|---|---|---|---|---|",
    ]
    for key in ("sft", "rl"):
        rows, videos = figures[key], figures[f"{key}_videos"]
        lines.append(f"| {key} | {rows['train']:,} | {rows['test']:,} | {videos['train']:,} | {videos['test']:,} |")
    lines += ["", "| trajectories of the sft set | mean |", "|---|---|"]
    lines += [f"| {key.replace('_', ' ')} | {value:.2f} |" for key, value in means.items()]
    lines += [
        "",
        f"Teachers: {_counts(figures['teachers'])}. Sources: {_counts(figures['sources'])}. "
        f"The kept trajectories cost {figures['usd']:.2f} USD.",
        "",
        "## What was left out",
        "",
        f"Of {kept['trajectories']:,} trajectories {kept['kept']:,} were kept; {kept['right']:,} had the right answer, "
        + (f"{share:.1%} of these without touching a clue (closed-book share)." if share is not None else "none.")
        + f" In {kept['unsupported']:,} nothing read supports the answer.",
        "",
        "| reason, the first that holds | trajectories |",
        "|---|---|",
        *(f"| {reason} | {count:,} |" for reason, count in kept["dropped"].items()),
        "",
        f"Decontamination left out {sum(figures['blocked'].values()):,} of {figures['questions']:,} questions"
        + (f" ({_counts(figures['blocked'])})" if figures["blocked"] else "")
        + f" and {figures['blocked_trajectories']:,} trajectories on them. The difficulty filter dropped "
        f"{figures['difficulty_dropped']:,} questions, and {figures['no_pass_rate']:,} had no pass rate.",
        "",
        "## Settings",
        "",
        "```yaml",
        yaml.safe_dump(figures["settings"], sort_keys=False).strip(),
        "```",
    ]
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_plain(key) or 'unnamed'} {count:,}" for key, count in counts.items()) or "none"


def _plain(text: str) -> str:
    """A name that cannot end a table, a line or the header."""
    return " ".join(str(text).replace("|", "/").replace("<", "‹").split())
