"""The result file: one evaluation in a form that tables, figures and scores are made from, and nothing else is needed.

`result.jsonl` begins with a line that holds the card, what the results depend on; each further line is one episode with
what was asked, answered, looked at and spent. It holds no wall time, so two runs with one seed write the same bytes.
Every line names its card: lines of two cards in one file are refused.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.cost_model import CostModel
from evaluation.meter import Measures, Span
from navigation import (
    DEFAULT_TOOLS,
    GET_CAPTION,
    InputError,
    Limits,
    Question,
    SearchSettings,
    Status,
    TimeGrid,
    Trajectory,
    TreeStore,
    Visit,
    read_answer,
    read_jsonl,
    write_atomic,
)
from navigation.answer_text import read_text
from navigation.prompt import chat_template, prompt_hash, template_hash, told_tools
from navigation.search import told_search
from rewards.grounding import coverage
from rewards.visits import clue_time

NAME = "result.jsonl"

EXTRACTOR = "lenient-2"
"""Name of the rule of `navigation.read_answer`; its module's hash stands beside it."""

COMPARED = ("benchmark", "questions", "trees", "prompt_sha256", "extractor", "limits", "samples", "costs", "judge")
"""Parts that must be equal for two results to stand side by side on equal terms."""

_PER_VIDEO = ("video", "lines_sha256", "read", "warnings", "released", "source", "duration_estimated")


def make_card(
    benchmark: str,
    questions: Sequence[Question],
    trees: TreeStore,
    policy: Mapping[str, Any],
    limits: Limits,
    samples: int,
    seed: int,
    costs: CostModel,
    trees_sha256: str,
    tools: Sequence[str] = DEFAULT_TOOLS,
    search: SearchSettings | None = None,
    judge: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The card of one run as JSON values.

    `judge` says who judged answers in words, where there are open questions. `tree_recipes` lists each distinct
    `made_by` of the trees with how many videos it made (a benchmark captioned by two recipes shows as such);
    `extractor` is the rule that reads letters, by name and by hash of its source.
    """
    rows = "\n".join(json.dumps(question.to_dict(), sort_keys=True) for question in questions)
    videos = sorted({question.video_id for question in questions})
    any_open = any(question.is_open for question in questions)
    extractor = {"name": EXTRACTOR, "sha256": _source_sha(read_answer)}
    if any_open:
        extractor["words_sha256"] = _source_sha(read_text)
    return {
        "benchmark": benchmark,
        "questions": {"count": len(questions), "videos": len(videos), "sha256": _sha(rows)},
        "trees": {"sha256": trees_sha256, "recipes": _recipes(trees, videos)},
        "prompt_sha256": prompt_hash(tools, any_open),
        "extractor": extractor,
        "template": template_hash(chat_template()),
        "policy": dict(policy),
        "limits": asdict(limits),
        "samples": samples,
        "seed": seed,
        "costs": costs.to_dict(),
        **({"tools": told["tools"]} if (told := told_tools(tools)) else {}),
        **told_search(tools, search),
        **({"judge": dict(judge)} if judge else {}),
    }


def _source_sha(reader: Callable[..., Any]) -> str:
    return _sha(inspect.getsource(sys.modules[reader.__module__]))


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


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """One episode.

    `labels` are the question's categories (several where the source gives several), `duration` and all spans are in
    seconds, `steps` are `(visits made, coverage of the clue time)` where the coverage rises, `meter` is `Meter.read`'s.
    An open question has no `options`; `references` and `verdict` (`Trajectory.verdict`), which multiple choice does not
    have, are written for it alone.
    """

    id: str
    question_id: str
    video_id: str
    labels: tuple[str, ...]
    duration: float
    options: int
    answer: str
    prediction: str | None
    status: Status
    visits: int
    visit_cost: float | None
    clues: tuple[Span, ...]
    evidence: tuple[Span, ...]
    grounding: float | None
    steps: tuple[tuple[int, float], ...]
    meter: Mapping[str, Any]
    unread_evidence: int = 0
    references: tuple[str, ...] = ()
    verdict: Mapping[str, Any] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        if self.options:
            return self.status is Status.ANSWERED and self.prediction == self.answer
        return self.verdict.get("label") == "right"

    @property
    def decided(self) -> bool:
        """Whether it is known how right the answer is: a judge who cannot tell decides nothing."""
        return not self.verdict or self.verdict.get("share") is not None


@dataclass(frozen=True)
class Result:
    """A result file in memory; `name` is what tables call it."""

    name: str
    card: Mapping[str, Any]
    build: Mapping[str, Mapping[str, float]]
    rows: Sequence[Row]
    source: Path = field(default=Path(), compare=False)

    @property
    def benchmark(self) -> str:
        return str(self.card["benchmark"])


def row_of(trajectory: Trajectory, question: Question, grid: TimeGrid) -> Row:
    """A trajectory as a line; its meter and evidence were taken when it was played."""
    measures = Measures.of(trajectory)
    return Row(
        id=trajectory.id,
        question_id=question.id,
        video_id=question.video_id,
        labels=labels_of(question.kind),
        duration=question.duration,
        options=len(question.options),
        answer=question.answer,
        prediction=trajectory.prediction,
        status=trajectory.status,
        visits=len(trajectory.visits),
        visit_cost=measures.visit_cost,
        clues=question.clue_intervals,
        evidence=tuple((begin, end) for begin, end in measures.evidence),
        grounding=trajectory.reward.get("grounding"),
        steps=_steps(trajectory.visits, question, grid),
        meter=measures.meter,
        unread_evidence=measures.unread_evidence or 0,
        references=question.references if question.is_open else (),
        verdict=trajectory.verdict,
    )


def labels_of(kind: str) -> tuple[str, ...]:
    """Categories of a question: `|` stands between several."""
    return tuple(label for label in kind.split("|") if label) or ("all",)


def write_result(
    folder: str | Path, name: str, card: Mapping[str, Any], build: Mapping[str, Any], rows: Iterable[Row]
) -> None:
    """Writes `folder/result.jsonl`, whole or not at all."""
    mark = card_hash(card)
    lines = [json.dumps({"name": name, "card_sha256": mark, "card": card, "build": build})]
    lines += [json.dumps(_record(row, mark)) for row in rows]
    write_atomic(Path(folder) / NAME, "\n".join(lines) + "\n")


def read_result(path: str | Path) -> Result:
    """Reads a result file, or the one in a folder.

    Raises:
        InputError: no such file, a broken line, a card that does not fit its name, or lines of two cards.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    hint = "give a folder that `clipscout eval` finished, or evaluate again"
    records = [record for _, record in read_jsonl(path, hint)]
    head = records[0] if records else {}
    card, mark = head.get("card"), head.get("card_sha256")
    if not isinstance(card, dict) or not isinstance(head.get("name"), str) or not isinstance(head.get("build"), dict):
        raise InputError(path, "first line", head, "give a result file: its first line holds the card")
    if card_hash(card) != mark:
        raise InputError(path, "card", mark, "this card was changed after the run: evaluate again")
    rows = []
    for number, record in enumerate(records[1:], 2):
        if record.get("card") != mark:
            raise InputError(f"{path}:{number}", "card", record.get("card"), f"a result holds one card ({mark})")
        rows.append(_row(f"{path}:{number}", record))
    if not rows:
        raise InputError(path, "rows", 0, "give the result of an evaluation with at least one question")
    return Result(head["name"], card, head["build"], rows, path)


def _steps(visits: Sequence[Visit], question: Question, grid: TimeGrid) -> tuple[tuple[int, float], ...]:
    clues = clue_time(question.clue_intervals, grid)
    if not clues.total:
        return ()
    steps: list[tuple[int, float]] = []
    best = 0.0
    for number, visit in enumerate(visits, 1):
        begin, end = grid.interval(visit.path)
        if visit.tool == GET_CAPTION and clues.within(begin, end) > 0:
            now = coverage(visits[:number], clues) or 0.0
            if now > best + 1e-9:
                best = now
                steps.append((number, float(f"{best:.6g}")))
    return tuple(steps)


def _record(row: Row, mark: str) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in Row.__slots__}
    for name in _OF_WORDS:
        if not record[name]:
            del record[name]
    return record | {"card": mark}


_OF_WORDS = ("references", "verdict")


def _row(source: str, record: Mapping[str, Any]) -> Row:
    try:
        given = {"unread_evidence": 0, "references": (), "verdict": {}, **record}
        values = {name: given[name] for name in Row.__slots__}
        values["references"] = tuple(values["references"])
        values["status"] = Status(values["status"])
        values["labels"] = tuple(values["labels"])
        for name in ("clues", "evidence", "steps"):
            values[name] = tuple((pair[0], pair[1]) for pair in values[name])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(source, "row", str(error), "this line is damaged: evaluate again") from None
    return Row(**values)
