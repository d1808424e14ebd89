"""Multiple choice is what it was, byte for byte: prompts, trajectories, rewards, results and sets of the small world.

A digest changes only with a change that is meant for multiple choice; it is then written here anew.
"""

import hashlib
import json
from pathlib import Path

import pytest

from data_gen.sets import SetSettings, export_sets
from data_gen.traces import write_traces
from evaluation.run import evaluate_corpus
from navigation import TreeStore, initial_messages, read_questions
from rewards.mix import RewardMix
from rewards.trl_functions import trl_functions

DIGESTS = {
    "traces/questions.jsonl": "46887448601f",  # pragma: allowlist secret
    "traces/trajectories.jsonl": "efddad383ed1",  # pragma: allowlist secret
    "sets/rl/train.jsonl": "7aba35fb287d",  # pragma: allowlist secret
    "sets/sft/train.jsonl": "09afe64691a9",  # pragma: allowlist secret
    "expert/trajectories.jsonl": "7cd133dd64f9",  # pragma: allowlist secret
    "expert/rows": "9d72af069b43",  # pragma: allowlist secret
    "expert/summary": "93204d48f8a0",  # pragma: allowlist secret
    "retrieval/trajectories.jsonl": "330c1364c9c8",  # pragma: allowlist secret
    "retrieval/rows": "124c22842b52",  # pragma: allowlist secret
    "retrieval/summary": "872ed6152776",  # pragma: allowlist secret
    "prompts": "865878313882",  # pragma: allowlist secret
    "rewards": "c32eb950d3b7",  # pragma: allowlist secret
}


def digest(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:12]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("choice"))


def make(out: Path) -> Path:
    write_traces("small_world", None, out / "traces", seed=0, limit=24)
    export_sets(out / "traces", out / "sets", SetSettings(held_out_share=0.3))
    for policy in ("expert", "retrieval"):
        questions = out / "traces/questions.jsonl"
        evaluate_corpus(questions, out / "traces/trees", policy, out / policy, samples=2, limit=8)
    return out


def found(out: Path) -> dict[str, str]:
    """Digests by what they are of; wall times and the line of the card are left out."""
    digests = {}
    for path in ("traces/questions.jsonl", "traces/trajectories.jsonl", "sets/rl/train.jsonl", "sets/sft/train.jsonl"):
        digests[path] = digest((out / path).read_bytes())
    for policy in ("expert", "retrieval"):
        digests[f"{policy}/trajectories.jsonl"] = digest((out / policy / "trajectories.jsonl").read_bytes())
        rows = [json.loads(line) for line in (out / policy / "result.jsonl").read_text().splitlines()[1:]]
        digests[f"{policy}/rows"] = digest(json.dumps([{**row, "card": ""} for row in rows]))
        summary = json.loads((out / policy / "summary.json").read_text())
        for changing in ("seconds", "seconds_measured", "card"):
            del summary[changing]
        digests[f"{policy}/summary"] = digest(json.dumps(summary))
    questions = list(read_questions(out / "traces/questions.jsonl"))
    trees = TreeStore(out / "traces/trees")
    digests["prompts"] = digest(json.dumps([initial_messages(each, trees[each.video_id]) for each in questions]))
    rows = [each.to_dict() for each in questions[:2]]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    completions = [[{"role": "assistant", "content": f"<answer>{letter}</answer>"}] for letter in ("A", "no letter")]
    functions, weights = trl_functions(RewardMix(), replay=trees)
    values = [function([], completions, None, None, **columns) for function in functions]
    digests["rewards"] = digest(json.dumps([values, weights]))
    return digests


def test_every_byte_is_as_it_was(made):
    assert found(made) == DIGESTS


def test_the_card_names_no_judge(made):
    card = json.loads((made / "expert/result.jsonl").read_text().splitlines()[0])["card"]
    assert "judge" not in card
    assert "judge" not in json.loads((made / "expert/settings.json").read_text())
