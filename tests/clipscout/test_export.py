"""Files of other tools: what each of them renders or scores from ours is what ours says."""

import csv
import json

import pytest
import yaml
from pyarrow import parquet
from transformers.utils.chat_template_utils import render_jinja_template
from typer.testing import CliRunner

from clipscout.export import llama_factory_row, ms_swift_row, openai_row, verl_row
from clipscout.main import app
from data_gen.corpora import write_corpus
from data_gen.corpora.small_world import load
from data_gen.sets import export_sets
from data_gen.traces import write_traces
from navigation import TOOLS, answer_message, assistant_message
from navigation.prompt import chat_template

TURNS = [
    {"role": "system", "content": "Navigate “it”."},
    {"role": "user", "content": "Where?\nA. here\nB. there"},
    assistant_message("First two.", calls=[("get_caption", {"segment": [1]}), ("get_caption", {"segment": [2]})]),
    {"role": "tool", "name": "get_caption", "content": "one"},
    {"role": "tool", "name": "get_caption", "content": "two"},
    assistant_message("Ask.", calls=[("video_qa", {"segment": [2, 1, 1], "query": "is it “blue”?"})]),
    {"role": "tool", "name": "video_qa", "content": "yes"},
    answer_message("It is there.", "B"),
]
ROW = {"messages": TURNS, "tools": TOOLS, "id": "q#0", "video_id": "v"}


def rendered(messages, tools=None):
    return render_jinja_template([messages], tools=tools, chat_template=chat_template())[0][0]


WANTED = rendered(TURNS, [*TOOLS])


def test_openai_names_every_call_and_reply():
    made = openai_row(ROW)
    ids = [call["id"] for each in made["messages"] for call in each.get("tool_calls", ())]
    assert ids == [each["tool_call_id"] for each in made["messages"] if each["role"] == "tool"]
    assert len(set(ids)) == 3
    assert all("reasoning_content" not in each for each in made["messages"])
    for each in made["messages"]:
        for call in each.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert rendered(made["messages"], made["tools"]) == WANTED


def test_llama_factory_alternates_and_renders_the_same_text():
    """The rules of its `qwen3` template, version 0.9.5, whose own code gave the same text for 464 of 464 rows."""
    made = llama_factory_row(ROW)
    sides = [each["from"] for each in made["conversations"]]
    assert sides == ["human", "function_call", "observation", "function_call", "observation", "gpt"]
    messages = [{"role": "system", "content": made["system"]}]
    for each in made["conversations"]:
        if each["from"] == "observation":
            parts = each["value"].split("\n</tool_response>\n<tool_response>\n")
            messages += [{"role": "tool", "content": part} for part in parts]
        elif each["from"] == "function_call":
            thought, _, said = each["value"].partition("</think>\n\n")
            calls = json.loads(said)
            calls = calls if isinstance(calls, list) else [calls]
            text = "\n".join(f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>" for call in calls)
            messages.append({"role": "assistant", "content": f"{thought}</think>\n\n{text}"})
        else:
            messages.append({"role": "user" if each["from"] == "human" else "assistant", "content": each["value"]})
    assert rendered(messages, json.loads(made["tools"])) == WANTED


def test_ms_swift_puts_calls_after_the_thought():
    """The merging of its Hermes agent template, version 4.6.0: neighbouring turns of one side become one."""
    made = ms_swift_row(ROW)
    messages = []
    for each in made["messages"]:
        role, content = each["role"], each["content"]
        if role == "tool_call":
            role, content = "assistant", f"<tool_call>\n{content}\n</tool_call>"
            if messages[-1]["role"] == "assistant":
                between = "\n" if messages[-1]["content"].endswith("</tool_call>") else ""
                messages[-1]["content"] += between + content
                continue
        messages.append({"role": "tool" if role == "tool_response" else role, "content": content})
    assert rendered(messages, json.loads(made["tools"])) == WANTED


def test_verl_needs_no_tools_to_render_the_same_text():
    messages = verl_row(ROW)["messages"]
    assert {frozenset(each) for each in messages} == {frozenset({"role", "content"})}
    assert rendered(messages) == WANTED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_traces("small_world", None, folder, limit=40)
    export_sets(folder, folder / "sets")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize("format", ["openai", "llama-factory", "ms-swift"])
def test_sets_are_written_row_by_row(folder, tmp_path, format):
    assert run(folder / "sets", "--format", format, "--out", tmp_path).exit_code == 0
    for split in ("train", "test"):
        ours = (folder / "sets" / "sft" / f"{split}.jsonl").read_text().splitlines()
        assert len((tmp_path / f"{split}.jsonl").read_text().splitlines()) == len(ours)
    if format == "llama-factory":
        info = json.loads((tmp_path / "dataset_info.json").read_text())
        assert {(tmp_path / each["file_name"]).is_file() for each in info.values()} == {True}


def test_verl_reads_plain_parquet(folder, tmp_path):
    assert run(folder / "sets", "--format", "verl", "--out", tmp_path).exit_code == 0
    sft = parquet.read_table(tmp_path / "sft" / "train.parquet").to_pylist()
    assert [set(each) for each in sft[0]["messages"]] == [{"role", "content"}] * len(sft[0]["messages"])
    rl = parquet.read_table(tmp_path / "rl" / "train.parquet").to_pylist()
    ours = [json.loads(line) for line in (folder / "sets" / "rl" / "train.jsonl").read_text().splitlines()]
    assert [row["reward_model"]["ground_truth"] for row in rl] == [row["answer"] for row in ours]
    assert [row["prompt"] for row in rl] == [row["prompt"] for row in ours]


@pytest.fixture(scope="module")
def results(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    arguments = ["eval", "--policy", "uniform", "--data", str(folder), "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return out


def test_results_become_lmms_evals_samples(folder, results, tmp_path):
    assert run(results, "--format", "lmms-eval", "--out", tmp_path).exit_code == 2
    done = run(results, "--format", "lmms-eval", "--out", tmp_path, "--questions", folder / "questions.jsonl")
    assert done.exit_code == 0, done.output
    (samples,) = tmp_path.glob("uniform/*_samples_clipscout.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [row["doc_id"] for row in rows] == list(range(40))
    (totals,) = tmp_path.glob("uniform/*_results.json")
    summary = json.loads((results / "summary.json").read_text())["policies"]["uniform"]
    found = json.loads(totals.read_text())["results"]["clipscout"]["clipscout_acc,none"]
    assert found == pytest.approx(summary["accuracy"])
    assert found == sum(row["filtered_resps"] == row["target"] for row in rows) / 40


def test_results_and_questions_become_vlmevalkits_tables(folder, results, tmp_path):
    given = ["--format", "vlmevalkit", "--out", tmp_path]
    assert run(results, *given, "--questions", folder / "questions.jsonl").exit_code == 0
    assert run(folder, *given, "--videos", "videos/{}.mkv").exit_code == 0
    with open(tmp_path / "uniform_clipscout.tsv", newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    assert [int(row["hit"]) for row in rows] == [int(row["prediction"] == row["answer"]) for row in rows]
    with open(tmp_path / "clipscout.tsv", newline="") as file:
        asked = list(csv.DictReader(file, dialect="excel-tab"))
    assert [row["question"] for row in asked] == [row["question"] for row in rows]
    assert asked[0]["video"].startswith("videos/")
    assert asked[0][asked[0]["answer"]]


def test_questions_become_a_task_of_lmms_eval(folder, tmp_path):
    assert run(folder, "--format", "lmms-eval", "--out", tmp_path).exit_code == 0
    compile((tmp_path / "utils.py").read_text(), "utils.py", "exec")
    text = (tmp_path / "clipscout.yaml").read_text()
    task = yaml.safe_load(text.replace("!function ", ""))
    assert task["dataset_kwargs"] == {"data_files": {"test": str(tmp_path / "questions.jsonl")}}
    docs = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert len(docs) == 40
    assert all(doc["answer"] in doc["letters"] and f"({doc['answer']}) " in doc["text"] for doc in docs)
    assert task["process_results"] == "utils.process_results"


@pytest.mark.parametrize("format", ["alpaca", "openai"])
def test_what_cannot_be_written_is_one_line(format, tmp_path):
    write_corpus(load(seed=1, videos=2, limit=4), tmp_path)
    result = run(tmp_path, "--format", format, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
