"""`clipscout migrate` and `clipscout import-gguf`: what others or an earlier protocol made, brought to this one."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from navigation import InputError, TreeStore, initial_messages, read_questions, write_json, write_jsonl
from navigation.prompt import FORMER_TEMPLATES, chat_template, template_hash
from navigation.tools import tool_schemas

RECORD = "clipscout.json"
CARRIED = ("*.safetensors", "*.json", "*.txt", "*.yaml", "*.model")
"""What of a checkpoint is copied; pickles, optimizer states and logs are not."""
Dtype = Literal["float32", "bfloat16"]


def migrate(
    folder: Annotated[Path, typer.Argument(help="Checkpoint, or folder with trajectories.jsonl and trees/.")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
) -> None:
    """Bring a checkpoint or trajectories of the former prompt to this one.

    A checkpoint gets the new chat template, and its record says under which one it was trained: train it a little more
    before it is used. Trajectories get the new prompt; what was said in them stays.
    """
    _check_new(out)
    if (folder / RECORD).is_file():
        typer.echo(migrate_checkpoint(folder, out))
    elif (folder / "trajectories.jsonl").is_file():
        typer.echo(migrate_trajectories(folder, out))
    else:
        raise InputError(
            folder, "folder", f"neither {RECORD} nor trajectories.jsonl", "give a checkpoint or a traces folder"
        )


def import_gguf(
    file: Annotated[Path, typer.Argument(help="A model as llama.cpp and Ollama have it.")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    dtype: Annotated[Dtype, typer.Option(help="Of the weights: float32 to train them, bfloat16 to play.")] = "float32",
) -> None:
    """Make a checkpoint of a GGUF file: weights, tokenizer, our chat template. Needs the extra `gguf`."""
    from trainer.gguf import import_gguf as convert

    _check_new(out)
    facts = convert(file, out, dtype)
    typer.echo(f"{out}: {facts['base']}, {facts['parameters']:,} parameters, {dtype}, license {facts['license']}")


def _check_new(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        raise InputError(out, "out", "not empty", "give a folder that is new or empty")


def migrate_checkpoint(folder: Path, out: Path) -> str:
    """Copies weights and tokenizer under the new template. Returns what was done, in words."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    trained, ours = record.get("chat_template"), template_hash(chat_template())
    if trained not in FORMER_TEMPLATES:
        hint = "it is current already" if trained == ours else f"only {', '.join(FORMER_TEMPLATES)} can be brought over"
        raise InputError(folder / RECORD, "chat_template", trained, hint)
    out.mkdir(parents=True, exist_ok=True)
    for pattern in CARRIED:
        for path in folder.glob(pattern):
            shutil.copyfile(path, out / path.name)
    (out / "chat_template.jinja").write_text(chat_template(), encoding="utf-8")
    write_json(out / RECORD, {**record, "chat_template": ours, "trained_under": trained})
    return f"{out}: template {ours}; trained under {trained} ({FORMER_TEMPLATES[trained]}): train it further before use"


def migrate_trajectories(folder: Path, out: Path) -> str:
    """Writes trajectories with the prompt as it is now, beside questions and trees. Returns what was done, in words."""
    questions = {question.id: question for question in read_questions(folder / "questions.jsonl")}
    trees = TreeStore(folder / "trees", capacity=8)
    count = 0

    def rows() -> Any:
        nonlocal count
        with open(folder / "trajectories.jsonl", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row = json.loads(line)
                question = questions.get(row["question_id"])
                if question is None:
                    place = f"{folder / 'trajectories.jsonl'}:{number}"
                    raise InputError(
                        place, "question_id", row["question_id"], "give the questions.jsonl it was made from"
                    )
                tools = tuple(tool["function"]["name"] for tool in row["tools"])
                prompt = initial_messages(question, trees[question.video_id], tools)
                count += 1
                yield {**row, "messages": [*prompt, *row["messages"][2:]], "tools": tool_schemas(tools)}

    write_jsonl(out / "trajectories.jsonl", rows())
    for name in ("questions.jsonl", "stats.json", "skipped.jsonl"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    shutil.copytree(folder / "trees", out / "trees")
    return f"{out}: {count} trajectories with the new prompt"
