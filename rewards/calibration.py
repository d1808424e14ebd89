"""How far a judge can be trusted: its verdicts against people's, on pairs whose verdict is known."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from math import sqrt
from pathlib import Path
from typing import Any

from navigation import InputError, Question, RequestFailed, read_jsonl
from rewards.answer import LABELS, RULES, Judge, Verdict, judged, no_verdict

LENGTHS = ((5, "to 5 words"), (15, "6 to 15 words"), (50, "16 to 50 words"), (10**9, "over 50 words"))
ORDERS = ("references first", "answer first")
"""What even and odd votes are shown, see `rewards.verdict_text.render`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An answer with what people said of it.

    Args:
        question: With references.
        answer: The answer in words.
        verdict: One of `LABELS` without `cannot_tell`.
    """

    question: Question
    answer: str
    verdict: str

    @property
    def length(self) -> str:
        words = len(self.answer.split())
        return next(label for most, label in LENGTHS if words <= most)


def read_pairs(path: str | Path | None = None) -> tuple[list[Pair], Counter[str]]:
    """Pairs of a file, and how many of its rows were left out for which reason. None: the project's own pairs.

    By its columns a file is read as one of

    - JSONL of `{question, references, answer, verdict}` with `kind` for tables, the project's own shape;
    - EVOUNA (`wangcunxiang/QA-Eval`): JSON rows of `question, golden_answer` ("/" between accepted ones) and
      `answer_MODEL`, `judge_MODEL`; rows that people call improper, or did not judge, are left out;
    - NQ301 (`ehsk/OpenQA-eval`): TSV of `Question, Model answer, Acceptable?`. It has no references: the first other
      answer to the question that people accept stands for one, and answers without such another are left out.

    Raises:
        InputError: no such file, or one of another shape.
    """
    left_out: Counter[str] = Counter()
    if path is None:
        with resources.as_file(resources.files("rewards") / "judge_pairs.jsonl") as own:
            return _own_pairs(own), left_out
    path = Path(path)
    if not path.is_file():
        raise InputError("command line", "file", str(path), "give a file of judged answers")
    if path.suffix == ".tsv":
        return _nq301(path, left_out), left_out
    if path.suffix == ".json":
        return _evouna(path, left_out), left_out
    return _own_pairs(path), left_out


def _pair(number: int, source: str, asked: str, references: Sequence[str], answer: str, verdict: str) -> Pair:
    question = Question(f"{source}/{number}", "none", asked, (), "", kind=source, references=tuple(references))
    return Pair(question, answer, verdict)


def _own_pairs(path: Path) -> list[Pair]:
    pairs = []
    for number, (source, row) in enumerate(read_jsonl(path)):
        known = LABELS[:3]
        if row.get("verdict") not in known:
            raise InputError(source, "verdict", row.get("verdict"), f"give one of {', '.join(known)}")
        references = row.get("references")
        if not isinstance(references, list) or not references or not all(isinstance(each, str) for each in references):
            raise InputError(source, "references", references, "give a list of accepted answers")
        for name in ("question", "answer"):
            if not isinstance(row.get(name), str):
                raise InputError(source, name, row.get(name), "give a text")
        kind = str(row.get("kind", "all"))
        pairs.append(_pair(number, kind, row["question"], references, row["answer"], row["verdict"]))
    if not pairs:
        raise InputError(path, "file", "empty", "give at least one judged answer")
    return pairs


def _evouna(path: Path, left_out: Counter[str]) -> list[Pair]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(path, "file", str(error), "give EVOUNA's JSON as downloaded") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "golden_answer" in row for row in rows):
        raise InputError(path, "file", type(rows).__name__, "give a list of rows with question and golden_answer")
    pairs = []
    for number, row in enumerate(rows):
        references = [each.strip() for each in str(row["golden_answer"]).split("/") if each.strip()]
        for name in (key.removeprefix("answer_") for key in row if key.startswith("answer_")):
            answer, said = row[f"answer_{name}"], row.get(f"judge_{name}")
            if row.get("improper") or not isinstance(said, bool) or not isinstance(answer, str) or not references:
                left_out["improper or not judged"] += 1
                continue
            pairs.append(_pair(number, name, str(row["question"]), references, answer, "right" if said else "wrong"))
    return pairs


def _nq301(path: Path, left_out: Counter[str]) -> list[Pair]:
    wanted = {"Question", "Model answer", "Acceptable?"}
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if not wanted <= set(reader.fieldnames or ()):
            raise InputError(path, "columns", reader.fieldnames, f"give NQ301's table, with {', '.join(wanted)}")
        rows = [row for row in reader if all(row[name] for name in wanted)]
    accepted: dict[str, list[str]] = {}
    for row in rows:
        if row["Acceptable?"] == "Yes":
            accepted.setdefault(row["Question"], []).append(row["Model answer"])
    pairs = []
    for number, row in enumerate(rows):
        answer = row["Model answer"]
        others = [each for each in accepted.get(row["Question"], ()) if each != answer]
        if not others:
            left_out["no other accepted answer to hold it against"] += 1
            continue
        verdict = "right" if row["Acceptable?"] == "Yes" else "wrong"
        pairs.append(_pair(number, "nq301", row["Question"], others[:1], answer, verdict))
    return pairs


async def calibrate(pairs: Sequence[Pair], judge: Judge | None = None) -> dict[str, Any]:
    """What `table` makes of a judge's verdicts on pairs, and of the rules alone beside it."""
    import asyncio

    async def one(pair: Pair) -> Verdict:
        try:
            return await judged(pair.question, pair.answer, judge)
        except RequestFailed as failure:
            return no_verdict(getattr(failure, "reason", str(failure)))

    verdicts = await asyncio.gather(*map(one, pairs))
    by_rules = [await judged(pair.question, pair.answer) for pair in pairs]
    return {
        "judge": RULES if judge is None else judge.settings,
        **table(pairs, verdicts),
        "rules": _figures(pairs, by_rules),
    }


def table(pairs: Sequence[Pair], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Agreement with people, chance taken out, and how sure a `right` is: over all, by kind, length and position.

    A pair without a verdict, or whose judge cannot tell, is counted and is in no share.
    """
    found: dict[str, Any] = {"pairs": len(pairs), **_figures(pairs, verdicts)}
    found["no_verdict"] = sum(verdict.label == "none" for verdict in verdicts)
    found["cannot_tell"] = sum(verdict.label == "cannot_tell" for verdict in verdicts)
    said = Counter((pair.verdict, verdict.label) for pair, verdict in zip(pairs, verdicts, strict=True))
    found["confusion"] = {f"{true} called {label}": count for (true, label), count in sorted(said.items())}
    found["by_kind"] = _by(pairs, verdicts, lambda pair, _: pair.question.kind)
    order = [label for _, label in LENGTHS]
    lengths = _by(pairs, verdicts, lambda pair, _: pair.length)
    found["by_length"] = {label: lengths[label] for label in order if label in lengths}
    found["by_rule"] = _by(pairs, verdicts, lambda _, verdict: verdict.by)
    votes = [(pair, verdict) for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.votes]
    if votes:
        # A single vote is a verdict of its own: where they differ by position, the order of the texts decides.
        cast = [
            (pair, Verdict(vote, float(vote == "right") if vote != "cannot_tell" else None, ORDERS[number % 2]))
            for pair, verdict in votes
            for number, vote in enumerate(verdict.votes)
        ]
        found["by_position"] = _by([pair for pair, _ in cast], [vote for _, vote in cast], lambda _, vote: vote.by)
        found["split_votes"] = round(sum(len(set(verdict.votes)) > 1 for _, verdict in votes) / len(votes), 4)
    return found


def _by(
    pairs: Sequence[Pair], verdicts: Sequence[Verdict], group: Callable[[Pair, Verdict], str]
) -> dict[str, dict[str, Any]]:
    members: dict[str, list[tuple[Pair, Verdict]]] = {}
    for pair, verdict in zip(pairs, verdicts, strict=True):
        members.setdefault(group(pair, verdict), []).append((pair, verdict))
    return {
        name: _figures([pair for pair, _ in rows], [verdict for _, verdict in rows])
        for name, rows in sorted(members.items())
    }


def _figures(pairs: Sequence[Pair], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Agreement and Cohen's kappa on right or not right; precision and recall of `right`; N of each."""
    known = [
        (pair.verdict == "right", verdict.right)
        for pair, verdict in zip(pairs, verdicts, strict=True)
        if verdict.share is not None
    ]
    both = sum(true and said for true, said in known)
    true, said = sum(true for true, _ in known), sum(said for _, said in known)
    same = sum(true == said for true, said in known)
    return {
        "n": len(known),
        "agreement": _share(same, len(known)),
        "agreement_ci": wilson(same, len(known)),
        "kappa": kappa(len(known), true, said, same),
        "precision": _share(both, said),
        "recall": _share(both, true),
        "false_right": said - both,
    }


def _share(part: int, of: int) -> float | None:
    return round(part / of, 4) if of else None


def kappa(n: int, true: int, said: int, same: int) -> float | None:
    """Cohen's kappa of two who each call some of `n` right; None where chance alone agrees on all.

    Args:
        n: Pairs.
        true: Right by people.
        said: Right by the judge.
        same: On which both say the same.
    """
    if not n:
        return None
    chance = (true * said + (n - true) * (n - said)) / n**2
    return None if chance == 1 else round((same / n - chance) / (1 - chance), 4)


def wilson(part: int, of: int, z: float = 1.96) -> list[float] | None:
    """The 95 % interval of a share (Wilson 1927)."""
    if not of:
        return None
    share, spread = part / of, z**2 / of
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return [round(max(0.0, centre - half), 4), round(min(1.0, centre + half), 4)]


def check_calibration(path: str | Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A calibration from its file, if it is of the judge with these settings.

    Raises:
        InputError: no such file, or another judge's.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = "give the calibration.json of `clipscout judge calibrate`"
        raise InputError(path, "calibration", str(error), hint) from None
    if not isinstance(found, dict) or found.get("judge") != dict(settings):
        judge = found.get("judge") if isinstance(found, dict) else found
        hint = f"calibrate this judge: {json.dumps(dict(settings))}"
        raise InputError(path, "judge", judge, hint)
    return found
