"""The data set's card, written from the figures of its export."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from navigation import write_atomic


def write_card(path: str | Path, name: str, licence: str, figures: Mapping[str, Any]) -> None:
    """Writes README.md: the header that the Hub and `load_dataset` read, and what the set holds."""
    sets = [key for key in ("sft", "rl") if sum(figures[key].values())]
    header = {
        "pretty_name": name, "license": licence, "task_categories": ["video-text-to-text", "question-answering"],
        "language": ["en"],
        "configs": [
            {
                "config_name": key, **({"default": True} if key == "sft" else {}),
                "data_files": [
                    {"split": split, "path": f"{key}/{split}.parquet"} for split in ("train", "test")
                    if figures[key][split]
                ],
            }
            for key in sets
        ],
    }  # fmt: skip
    dumped = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    write_atomic(path, f"---\n{dumped}---\n\n" + "\n".join(_body(name, figures)) + "\n")


def _body(name: str, figures: Mapping[str, Any]) -> list[str]:
    kept = figures["filter"]
    share = kept["closed_book_share"]
    means = figures["means"]
    lines = [
        f"# {_plain(name)}", "",
        "Walks over caption trees of videos, by a teacher that thinks aloud, opens captions (`get_caption`), asks "
        "about clips (`video_qa`) and answers. `sft` holds conversations (`messages`, `tools`), `rl` questions "
        "(`prompt`, answer, clue intervals). Splits are by video: no video is in both.", "",
        "| set | train | test | videos, train | videos, test |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for key in ("sft", "rl"):
        rows, videos = figures[key], figures[f"{key}_videos"]
        lines.append(f"| {key} | {rows['train']:,} | {rows['test']:,} | {videos['train']:,} | {videos['test']:,} |")
    lines += ["", "| walks of the sft set | mean |", "|---|---|"]
    lines += [f"| {key.replace('_', ' ')} | {value:.2f} |" for key, value in means.items()]
    lines += [
        "", f"Teachers: {_counts(figures['teachers'])}. Sources: {_counts(figures['sources'])}. "
        f"The kept walks cost {figures['usd']:.2f} USD.", "", "## What was left out", "",
        f"Of {kept['walks']:,} walks {kept['kept']:,} were kept; {kept['right']:,} had the right answer, "
        + (f"{share:.1%} of these without touching a clue (closed-book share)." if share is not None else "none."),
        "", "| reason, the first that holds | walks |", "|---|---|",
        *(f"| {reason} | {count:,} |" for reason, count in kept["dropped"].items()),
        "", f"Decontamination left out {sum(figures['blocked'].values()):,} of {figures['questions']:,} questions"
        + (f" ({_counts(figures['blocked'])})" if figures["blocked"] else "")
        + f" and {figures['blocked_walks']:,} walks on them. The difficulty filter dropped "
        f"{figures['difficulty_dropped']:,} questions, and {figures['no_pass_rate']:,} had no pass rate.", "",
        "## Settings", "", "```yaml", yaml.safe_dump(figures["settings"], sort_keys=False).strip(), "```",
    ]  # fmt: skip
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_plain(key) or 'unnamed'} {count:,}" for key, count in counts.items()) or "none"


def _plain(text: str) -> str:
    """A name that cannot end a table, a line or the header."""
    return " ".join(str(text).replace("|", "/").replace("<", "‹").split())
