"""`clipscout export`: sets, questions and results in the files that other tools read and write."""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from clipscout.options import told_errors
from navigation import LETTERS, InputError, Question, read_jsonl, read_questions, write_atomic, write_json, write_jsonl

Row = Mapping[str, Any]
SPLITS = ("train", "test")
TASK = "clipscout"
SYSTEM_END = "<|im_end|>"


def with_thought(message: Row) -> str:
    """Reasoning and content in one text, as Qwen3's template writes them: these tools know no field for reasoning."""
    thought = message.get("reasoning_content") or ""
    return f"<think>\n{thought}\n</think>\n\n{message['content']}" if thought else message["content"]


def calls_of(message: Row) -> list[dict[str, Any]]:
    """Name and arguments of each call of an assistant message."""
    return [dict(call["function"]) for call in message.get("tool_calls") or ()]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def openai_row(row: Row) -> dict[str, Any]:
    """OpenAI's fine-tuning form: calls have ids, replies name them, arguments are texts."""
    messages: list[dict[str, Any]] = []
    waiting: list[str] = []
    count = 0
    for message in row["messages"]:
        if message["role"] == "tool":
            messages.append({"role": "tool", "tool_call_id": waiting.pop(0), "content": message["content"]})
            continue
        made: dict[str, Any] = {"role": message["role"], "content": with_thought(message)}
        if calls := calls_of(message):
            waiting = [f"call_{count + place}" for place in range(len(calls))]
            count += len(calls)
            made["tool_calls"] = [
                {"id": name, "type": "function", "function": call | {"arguments": _json(call["arguments"])}}
                for name, call in zip(waiting, calls, strict=True)
            ]
        messages.append(made)
    return {"messages": messages, "tools": row["tools"], "parallel_tool_calls": False}


def llama_factory_row(row: Row) -> dict[str, Any]:
    """LLaMA-Factory's sharegpt form, in which the two sides alternate: a turn with calls is `function_call`."""
    turns: list[dict[str, str]] = []
    for message in row["messages"][1:]:
        if message["role"] == "tool" and turns[-1]["from"] == "observation":
            turns[-1]["value"] += f"\n</tool_response>\n<tool_response>\n{message['content']}"
        elif message["role"] == "tool":
            turns.append({"from": "observation", "value": message["content"]})
        elif calls := calls_of(message):
            said = _json(calls[0] if len(calls) == 1 else calls)
            turns.append({"from": "function_call", "value": with_thought(message) + said})
        else:
            side = "human" if message["role"] == "user" else "gpt"
            turns.append({"from": side, "value": with_thought(message)})
    return {"conversations": turns, "system": row["messages"][0]["content"], "tools": _json(row["tools"])}


def ms_swift_row(row: Row) -> dict[str, Any]:
    """ms-swift's agent form: calls and replies are messages of their own, tools are a text."""
    messages: list[dict[str, str]] = []
    for message in row["messages"]:
        role = "tool_response" if message["role"] == "tool" else message["role"]
        if content := with_thought(message):
            messages.append({"role": role, "content": content})
        messages += [{"role": "tool_call", "content": _json(call)} for call in calls_of(message)]
    return {"tools": _json(row["tools"]), "messages": messages}


def verl_row(row: Row) -> dict[str, Any]:
    """verl's multi-turn form: role and content alone, since a Parquet struct would give every call every argument.

    Calls and tool schemas stand in the texts as the chat template writes them, so that the rendered text is the same.
    """
    messages = [{"role": "system", "content": _system_with_tools(row)}]
    for message in row["messages"][1:]:
        calls = [f"<tool_call>\n{_json(call)}\n</tool_call>" for call in calls_of(message)]
        between = "\n" if message["content"] and calls else ""
        messages.append({"role": message["role"], "content": with_thought(message) + between + "\n".join(calls)})
    return {"messages": messages, "id": row["id"], "video_id": row["video_id"]}


def _system_with_tools(row: Row) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    from navigation.prompt import chat_template

    system = [dict(row["messages"][0]), {"role": "user", "content": ""}]
    text = render_jinja_template([system], tools=[*row["tools"]], chat_template=chat_template())[0][0]
    return text.removeprefix("<|im_start|>system\n").split(SYSTEM_END)[0]


def verl_question(row: Row, place: int, split: str) -> dict[str, Any]:
    """A row of verl's RL sets; its own reward functions get the letter, or the first reference, as `ground_truth`."""
    more = {"index": place, "split": split, "id": row["id"], "video_id": row["video_id"], "question": row["question"]}
    more |= {"clue_intervals": _json(row["clue_intervals"]), "duration": row["duration"]}
    return {
        "data_source": row["source"] or TASK,
        "prompt": [{"role": each["role"], "content": each["content"]} for each in row["prompt"]],
        "ability": "video navigation",
        "reward_model": {"style": "rule", "ground_truth": row["answer"] or row["references"][0]},
        "extra_info": more,
    }


ROWS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "openai": openai_row,
    "llama-factory": llama_factory_row,
    "ms-swift": ms_swift_row,
    "verl": verl_row,
}
RESULTS = ("lmms-eval", "vlmevalkit")
FORMATS = (*RESULTS, "verl", "llama-factory", "ms-swift", "openai")


def export_training(folder: Path, format: str, out: Path) -> list[Path]:
    """Writes the sets of `clipscout dataset` in a trainer's form.

    Raises:
        InputError: `folder` holds no sets.
    """
    if not (folder / "sft" / "train.jsonl").is_file():
        raise InputError(folder, "data", "no sft/train.jsonl", "give the sets that `make dataset` wrote")
    written = []
    for split in SPLITS:
        rows = (ROWS[format](row) for _, row in read_jsonl(folder / "sft" / f"{split}.jsonl"))
        if format == "verl":
            asked = [row for _, row in read_jsonl(folder / "rl" / f"{split}.jsonl")]
            written += _write_parquet(out / "sft" / f"{split}.parquet", rows)
            questions = (verl_question(row, place, split) for place, row in enumerate(asked))
            written += _write_parquet(out / "rl" / f"{split}.parquet", questions)
        else:
            written.append(out / f"{split}.jsonl")
            write_jsonl(written[-1], rows)
    if format == "llama-factory":
        columns = {"messages": "conversations", "system": "system", "tools": "tools"}
        about = {"formatting": "sharegpt", "columns": columns}
        written.append(out / "dataset_info.json")
        write_json(written[-1], {f"{TASK}_{split}": {"file_name": f"{split}.jsonl", **about} for split in SPLITS})
    return written


def _write_parquet(path: Path, rows: Iterator[Row]) -> list[Path]:
    import pyarrow
    from pyarrow import parquet

    found = list(rows)
    if not found:  # a table without rows has no columns that could be read
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(found), path)
    return [path]


def export_results(folder: Path, format: str, out: Path, questions: Path | None, videos: str) -> list[Path]:
    """Writes an evaluation's answers, or a corpus's questions where there are none, in an evaluation tool's form.

    Raises:
        InputError: neither is in `folder`, or a question of the results is not among `questions`.
    """
    from evaluation.result import NAME, read_result

    found = questions or next(
        (each for each in (folder / "questions.jsonl", folder / "corpus" / "questions.jsonl") if each.is_file()), None
    )
    if found is None:
        hint = "give --questions, the questions.jsonl that was evaluated, or a folder with one"
        raise InputError(folder, "questions", None, hint)
    asked = {question.id: question for question in read_questions(found)}
    if in_words := next((question.id for question in asked.values() if question.is_open), None):
        raise InputError(found, "options", in_words, "leave questions in words out: these tasks are multiple choice")
    if not (folder / NAME).is_file():
        if format == "lmms-eval":
            return _lmms_eval_task(out, list(asked.values()), videos)
        return [_vlmevalkit_table(out / f"{TASK}.tsv", list(asked.values()), videos)]
    result = read_result(folder)
    missing = next((row.question_id for row in result.rows if row.question_id not in asked), None)
    if missing is not None:
        raise InputError(found, "question_id", missing, "give the questions.jsonl that was evaluated")
    said = {row["id"]: row["messages"][-1]["content"] for _, row in read_jsonl(folder / "trajectories.jsonl")}
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", result.name)
    of_rows = [asked[row.question_id] for row in result.rows]
    if format == "vlmevalkit":
        more = [{"prediction": row.prediction or "", "hit": int(row.correct)} for row in result.rows]
        return [_vlmevalkit_table(out / f"{name}_{TASK}.tsv", of_rows, videos, more)]
    samples = [
        {
            "doc_id": place,
            "target": row.answer,
            "input": question_text(question),
            "resps": [said.get(row.id, "")],
            "filtered_resps": row.prediction or "",
            f"{TASK}_acc": float(row.correct),
            "question_id": row.question_id,
            "doc_hash": hashlib.sha256(_json(question.to_dict()).encode("utf-8", "surrogatepass")).hexdigest(),
        }
        for place, (row, question) in enumerate(zip(result.rows, of_rows, strict=True))
    ]
    right, count = sum(row.correct for row in result.rows), len(samples)
    totals = {
        "results": {TASK: {"alias": TASK, f"{TASK}_acc,none": right / count if count else None}},
        "n-samples": {TASK: {"original": count, "effective": count}},
        "model_name": result.name,
        "config": {"card": result.card},
    }
    # lmms-eval puts the time first; ours is that of no clock, so that the same run writes the same files.
    written = [out / name / f"00000000_000000_{kind}" for kind in (f"samples_{TASK}.jsonl", "results.json")]
    write_jsonl(written[0], samples)
    write_json(written[1], totals)
    return written


_TASK_CODE = """from lmms_eval.tasks._task_utils.mcq_extract import extract_mcq_answer


def doc_to_visual(doc):
    return [doc["video"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["text"]


def process_results(doc, results):
    letter = extract_mcq_answer(results[0], choices=list(doc["letters"]))
    return {"clipscout_acc": float(letter == doc["answer"])}
"""


def _lmms_eval_task(out: Path, questions: Sequence[Question], videos: str) -> list[Path]:
    """A task folder for lmms-eval's `--include_path`: other models answer the same questions about the whole video."""
    from runtime.config_file import dump

    docs = out / "questions.jsonl"
    rows = (
        {
            "id": each.id,
            "video": videos.format(each.video_id),
            "text": question_text(each),
            "answer": each.answer,
            "letters": LETTERS[: len(each.options)],
        }
        for each in questions
    )
    write_jsonl(docs, rows)
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(docs.resolve())}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_target": "answer",
        "generation_kwargs": {"max_new_tokens": 16},
        "metric_list": [{"metric": f"{TASK}_acc", "aggregation": "mean", "higher_is_better": True}],
    }
    functions = [f"{name}: !function utils.{name}\n" for name in ("doc_to_visual", "doc_to_text", "process_results")]
    write_atomic(out / f"{TASK}.yaml", dump(task) + "".join(functions))
    write_atomic(out / "utils.py", _TASK_CODE)
    return [docs, out / f"{TASK}.yaml", out / "utils.py"]


def question_text(question: Question) -> str:
    """A question with its lettered options, as LVBench's task of lmms-eval writes them."""
    lines = [f"({letter}) {option}" for letter, option in zip(LETTERS, question.options, strict=False)]
    return "\n".join([question.question, *lines, "Answer the question with the option letter"])


def _vlmevalkit_table(path: Path, questions: Sequence[Question], videos: str, more: Sequence[Row] = ()) -> Path:
    """A TSV with a column for each option, the form of VLMEvalKit's multiple-choice files and predictions."""
    letters = LETTERS[: max((len(question.options) for question in questions), default=0)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        columns = ["index", "id", "video", "category", "question", *letters, "answer", *(more[0] if more else ())]
        table = csv.DictWriter(file, columns, dialect="excel-tab")
        table.writeheader()
        for place, question in enumerate(questions):
            row = {
                "index": place,
                "id": question.id,
                "video": videos.format(question.video_id),
                "category": question.kind,
                "question": question.question,
                "answer": question.answer,
            }
            row |= dict(zip(letters, question.options, strict=False))
            table.writerow(row | (dict(more[place]) if more else {}))
    return path


def export(
    folder: Annotated[Path, typer.Argument(help="Sets of `make dataset`, results of `make eval`, or questions.")],
    format: Annotated[str, typer.Option(help=f"{', '.join(FORMATS)}.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    questions: Annotated[Path | None, typer.Option(help="questions.jsonl of results that lie elsewhere.")] = None,
    videos: Annotated[str, typer.Option(help="A video's path, with {} for its id.")] = "{}.mp4",
) -> None:
    """Write training sets, questions or results in the files of other tools."""
    with told_errors():
        if format not in FORMATS:
            raise InputError("command line", "--format", format, f"give one of {', '.join(FORMATS)}")
        if videos.count("{}") != 1 or videos.count("{") != 1 or videos.count("}") != 1:
            raise InputError("command line", "--videos", videos, "give a path with {} for the video's id, once")
        if format in RESULTS:
            written = export_results(folder, format, out, questions, videos)
        else:
            written = export_training(folder, format, out)
        for path in written:
            typer.echo(str(path))
