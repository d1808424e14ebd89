"""The evaluation card: everything that a result depends on besides the policy's luck, frozen in every result."""

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evaluation.cost_model import CostModel
from navigation import TOOLS, Limits, Question, TreeStore, read_answer
from navigation.prompt import SYSTEM, chat_template, template_hash

EXTRACTOR = "lenient-1"
"""Name of the rule of `navigation.read_answer`; its code's hash stands beside it."""

COMPARED = ("benchmark", "questions", "trees", "prompt_sha256", "extractor", "limits", "samples", "costs")
"""Parts that must be equal for two results to stand side by side on equal terms."""


def make_card(
    benchmark: str, questions: Sequence[Question], trees: TreeStore, policy: Mapping[str, Any], limits: Limits,
    samples: int, seed: int, costs: CostModel, trees_sha256: str,
) -> dict[str, Any]:  # fmt: skip
    """The card of one run as JSON values.

    `tree_recipes` lists each distinct `made_by` of the trees with how many videos it made (a benchmark captioned by two
    recipes shows as such); `extractor` is the rule that reads letters, by name and by hash of its source.
    """
    rows = "\n".join(json.dumps(question.to_dict(), sort_keys=True) for question in questions)
    videos = sorted({question.video_id for question in questions})
    return {
        "benchmark": benchmark,
        "questions": {"count": len(questions), "videos": len(videos), "sha256": _sha(rows)},
        "trees": {"sha256": trees_sha256, "recipes": _recipes(trees, videos)},
        "prompt_sha256": _sha(SYSTEM + json.dumps(TOOLS, sort_keys=True)),
        "extractor": {"name": EXTRACTOR, "sha256": _sha(inspect.getsource(read_answer))},
        "template": template_hash(chat_template()),
        "policy": dict(policy), "limits": asdict(limits), "samples": samples, "seed": seed, "costs": costs.to_dict(),
    }  # fmt: skip


def card_hash(card: Mapping[str, Any]) -> str:
    """A short name for a card: equal cards, equal names."""
    return _sha(json.dumps(card, sort_keys=True))[:16]


def unequal_terms(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Parts of `COMPARED` in which two cards differ."""
    return [part for part in COMPARED if first.get(part) != second.get(part)]


def _recipes(trees: TreeStore, videos: Iterable[str]) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for video_id in videos:
        tree = trees[video_id]
        shape = {**tree.made_by, "depth": tree.grid.depth, "lines": bool(tree.lines)}
        # What differs from video to video (its file, its hash) says nothing of how captions were made.
        recipe = json.dumps({key: value for key, value in shape.items() if key not in _PER_VIDEO}, sort_keys=True)
        counts[recipe] = counts.get(recipe, 0) + 1
    return [{"recipe": json.loads(recipe), "videos": counts[recipe]} for recipe in sorted(counts)]


_PER_VIDEO = ("video", "lines_sha256", "released", "source", "duration_estimated")


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
