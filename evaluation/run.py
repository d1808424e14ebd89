"""One policy on one corpus folder: what `make eval` does."""

import asyncio
import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.evaluate import evaluate
from evaluation.metrics import summarise
from evaluation.policies import make_policy
from evaluation.summary import read_summary, write_summary
from navigation import EnvironmentFactory, InputError, Limits, Question, TreeStore, read_questions
from navigation.split import held_out

if TYPE_CHECKING:
    from rewards import RewardMix


def evaluate_corpus(
    questions: str | Path,
    trees: str | Path,
    policy: str,
    out: str | Path,
    *,
    seed: int = 0,
    samples: int = 1,
    concurrency: int = 16,
    limits: Limits | None = None,
    mix: "RewardMix | None" = None,
    limit: int | None = None,
    held_out_share: float = 0.0,
    **options: Any,
) -> dict[str, Any]:
    """Plays a policy on a corpus folder's questions and writes `out/summary.json` beside its trajectories.

    Can be killed and called again; what was finished is not played twice.

    Args:
        questions: JSONL file of questions.
        trees: Folder of caption trees.
        policy: A name of `POLICY_NAMES`.
        out: Folder of results, of this policy and these settings alone.
        seed: Of the policy and of the intervals' draws.
        samples: Attempts at each question.
        concurrency: Episodes in flight.
        limits: Of each episode.
        mix: Scores each episode; default: the default mix.
        limit: Only the first questions of the file.
        held_out_share: Only questions of the videos that this share holds out from training; 0 takes all.
        **options: The policy's settings, see `make_policy`.

    Returns:
        What `out/summary.json` holds. `seconds` is the wall time of the call that finished the evaluation.

    Raises:
        InputError: a missing file or tree, a bad option, or an `out` that holds other results.
    """
    asked = _questions(Path(questions), limit, held_out_share)
    store = TreeStore(trees)
    if not store.folder.is_dir():
        raise InputError(store.folder, "trees", str(trees), "give the folder of caption trees that `make traces` wrote")
    begun = time.monotonic()
    player = make_policy(policy, store, asked, seed, **options)
    settings = {
        "policy_options": {"name": policy, "seed": seed, **{name: str(value) for name, value in options.items()}},
        "trees": {"sha256": _fingerprint(store, (question.video_id for question in asked))},
    }
    trajectories = asyncio.run(
        evaluate(
            player, asked, EnvironmentFactory(store), limits, mix, out, concurrency, samples,
            settings=settings, keep_messages=False,
        )
    )  # fmt: skip
    path = Path(out) / "summary.json"
    seconds = read_summary(path)["seconds"] if path.exists() else time.monotonic() - begun
    return write_summary(path, {policy: summarise(trajectories, asked, seed)}, seconds, seed)


def _questions(path: Path, limit: int | None, held_out_share: float) -> list[Question]:
    if not path.is_file():
        raise InputError(
            path, "questions", str(path), "give the questions.jsonl that `make questions` or `make traces` wrote"
        )
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise InputError("evaluate", "limit", limit, "give a whole number of at least 1")
    questions = [
        question
        for question in read_questions(path)
        if not held_out_share or held_out(question.video_id, held_out_share)
    ]
    if not questions:
        raise InputError(path, "questions", [], "this file holds no question")
    return questions[:limit]


def _fingerprint(store: TreeStore, video_ids: Iterable[str]) -> str:
    """A hash over the tree files of these videos: results over other captions are other results."""
    digest = hashlib.sha256()
    for video_id in sorted(set(video_ids)):
        path = store.path(video_id)
        if path.is_file():
            digest.update(
                video_id.encode("utf-8", "surrogatepass") + b"\0" + hashlib.sha256(path.read_bytes()).digest()
            )
    return digest.hexdigest()
