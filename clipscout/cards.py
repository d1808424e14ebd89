"""Cards of models and caption trees, written from the files of the run that made them; they say what is not known."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from navigation import DEFAULT_TOOLS, CaptionTree, InputError
from trainer.checkpoint import NAME, read_record
from trainer.recorder import read_metrics

LICENSES = {"Qwen/Qwen3-8B": "apache-2.0", "Qwen/Qwen3-4B": "apache-2.0", "Qwen/Qwen3-1.7B": "apache-2.0",
            "Qwen/Qwen3-0.6B": "apache-2.0", "Qwen/Qwen3-14B": "apache-2.0"}  # fmt: skip
RECIPE = (
    "num_train_epochs", "max_steps", "learning_rate", "lr_scheduler_type", "warmup_steps", "optim", "max_length",
    "packing", "per_device_train_batch_size", "gradient_accumulation_steps", "use_peft", "lora_r", "lora_alpha",
    "load_in_4bit", "bf16", "seed", "num_generations", "beta", "loss_type", "max_completion_length",
)  # fmt: skip


def write_card(folder: str | Path, repo: str, license: str | None = None, evaluation: str | Path | None = None) -> str:
    """The text of README.md.

    Args:
        folder: The checkpoint's folder; its `clipscout.json`, `resolved_config.yaml` and `metrics.jsonl` are read.
        repo: Names the model.
        license: Of the model; default: its base's, where that is known.
        evaluation: `summary.json` of `clipscout eval`, for the table.

    Raises:
        InputError: the license of the base is not known, or the evaluation's file cannot be read.
    """
    folder = Path(folder)
    record = read_record(folder)
    config = _yaml(folder / "resolved_config.yaml")
    base = _base(str(record.get("base") or config.get("model_name_or_path") or ""))
    on_hub = base.count("/") == 1 and not Path(base).exists() and not base.startswith((".", "runs/"))
    license = license or LICENSES.get(base)
    if license is None:
        raise InputError(
            "push", "license", None, f"give --license: that of its base {base or 'model'!r} is not known here"
        )
    header: dict[str, Any] = {"license": license, "library_name": "transformers", "pipeline_tag": "text-generation",
                              "tags": ["clipscout", "video-question-answering", "tool-use"]}  # fmt: skip
    if on_hub:
        header["base_model"] = base
    body = [*_intro(repo, record, base if on_hub else ""), *_data(record), *_recipe(config), *_loss(folder),
            *_evaluation(evaluation), *_limits()]  # fmt: skip
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n" + "\n".join(body) + "\n"


def _base(name: str, deepest: int = 8) -> str:
    """The model at the start of the line: a GRPO run begins from an SFT run's folder, and that from a Hub model."""
    for _ in range(deepest):
        if not Path(name, NAME).is_file():
            break
        name = str(read_record(name).get("base") or name)
    return name


def _intro(repo: str, record: Mapping[str, Any], base: str) -> Iterator[str]:
    yield f"# {repo.partition('/')[2]}"
    yield ""
    *others, last = (f"`{name}`" for name in record.get("tools") or DEFAULT_TOOLS)
    tools = f"the tools {', '.join(others)} and {last}" if others else f"the tool {last}"
    yield (
        f"Answers multiple-choice questions about long videos by navigating a tree of captions with {tools}, "
        "and opening as little of it as it can."
    )
    yield ""
    yield f"- Base: {base or 'a local model, not published'}"
    yield f"- Stage: {record.get('stage', 'not recorded')}, step {record.get('step', 'not recorded')}"
    yield (
        f"- Chat template: `chat_template.jinja`, hash `{record.get('chat_template', 'not recorded')}`; the reasoning "
        "of every turn stays in the conversation. Other templates give other tokens than it was trained on."
    )
    yield ""


def _data(record: Mapping[str, Any]) -> Iterator[str]:
    facts = record.get("data")
    yield "## Training data"
    yield ""
    if not facts:
        yield "Not recorded."
    else:
        yield from ["| | |", "|---|---|", *(f"| {_plain(key)} | {_plain(value)} |" for key, value in facts.items())]
    yield ""


def _recipe(config: Mapping[str, Any]) -> Iterator[str]:
    yield "## Recipe"
    yield ""
    known = [(key, config[key]) for key in RECIPE if config.get(key) is not None]
    if known:
        yield from ["| option | value |", "|---|---|", *(f"| `{key}` | {_plain(value)} |" for key, value in known)]
        yield "\nAll options: `resolved_config.yaml`."
    else:
        yield "Not recorded."
    yield ""


def _loss(folder: Path) -> Iterator[str]:
    rows = read_metrics(folder / "metrics.jsonl")
    yield "## Curves"
    yield ""
    trained = [row for row in rows if "loss" in row]
    evaluated = [row for row in rows if "eval_loss" in row]
    if trained:
        first, last = trained[0], trained[-1]
        yield f"Training loss {first['loss']:.4f} at step {first['step']}, {last['loss']:.4f} at step {last['step']}."
    if evaluated:
        yield f"Held-out loss {evaluated[-1]['eval_loss']:.4f} at step {evaluated[-1]['step']}."
    if not trained and not evaluated:
        yield "Not recorded."
    yield ""


def _evaluation(path: str | Path | None) -> Iterator[str]:
    yield "## Evaluation"
    yield ""
    if path is None:
        yield "Not evaluated."
    else:
        try:
            policies = json.loads(Path(path).read_text(encoding="utf-8"))["policies"]
        except (OSError, ValueError, KeyError):
            raise InputError(path, "file", str(path), "give the summary.json that `clipscout eval` wrote") from None
        yield "| policy | accuracy | 95 % interval | answered | visits | visit cost |"
        yield "|---|---|---|---|---|---|"
        for name, row in policies.items():
            low, high = row.get("accuracy_ci") or (None, None)
            yield (
                f"| {_plain(name)} | {_number(row['accuracy'])} | {_number(low)} to {_number(high)} | "
                f"{row['answered']} / {row['n']} | {_number(row['visits'])} | {_number(row['visit_cost'])} |"
            )
        yield "\nAn episode that failed or did not answer counts as wrong."
    yield ""


def _limits() -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield (
        "It knows a video only through captions and clip answers made by other models, and repeats their errors. "
        "It was trained on multiple-choice questions; open questions are outside of what was measured. Its reasoning "
        "is text that helps it choose, not an account of how it decided."
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _plain(value: Any) -> str:
    return " ".join(str(value).replace("|", "/").replace("<", "‹").split())


def _yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_trees_card(folder: str | Path, repo: str, license: str | None) -> str:
    """README.md of the trees in `folder/trees`, with their counts and who captioned them.

    Raises:
        InputError: no license was given, or there is no tree.
    """
    if license is None:
        raise InputError("push", "license", None, "give --license: that of the videos and annotations they come from")
    paths = sorted((Path(folder) / "trees").glob("*.json"))
    if not paths:
        raise InputError(folder, "trees", 0, "give a folder with caption trees in trees/")
    captioners: Counter[str] = Counter()
    captions, missing, hours = 0, 0, 0.0
    for path in paths:
        tree = CaptionTree.load(path)
        captioners[str(tree.made_by.get("captioner", "not recorded"))] += 1
        captions += len(tree.captions)
        missing += len(tree.missing())
        hours += tree.grid.duration / 3600
    header = {"license": license, "pretty_name": repo.partition("/")[2], "language": ["en"], "tags": ["clipscout"]}
    made_by = ", ".join(
        f"{' '.join(name.replace('<', '‹').split())} {count}" for name, count in captioners.most_common()
    )
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {repo.partition('/')[2]}\n\n"
        f"Caption trees of {len(paths):,} videos, {hours:.1f} hours: {captions:,} captions, {missing:,} segments "
        f"without one. Captioned by: {made_by}.\n\n"
        "One JSON file a video: `duration`, `width`, `depth` and `segments` with `path`, `start`, `end` and `caption`; "
        "children divide their parent into `width` equal parts. `clipscout` reads them with `navigation.TreeStore`.\n"
    )
