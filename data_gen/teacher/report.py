"""The set's report: one self-contained page with figures, pictures, reasons and random walks to read."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from data_gen.filters import FilterReport, FilterSettings, faults, filter_walks, find_leaks
from data_gen.teacher.pictures import bars, histogram
from data_gen.teacher.protocol import call_text
from data_gen.teacher.set_figures import SetFigures, gather
from data_gen.teacher.trajectory_file import read_rows, read_trajectories
from navigation import Question, Trajectory, TreeStore, read_questions, write_atomic
from navigation.grid import clock

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    folder: str | Path, path: str | Path, settings: FilterSettings | None = None, shown: int = 20, seed: int = 0
) -> dict[str, Any]:
    """Reads a traces folder once and writes the page.

    Args:
        folder: Holds `questions.jsonl`, `trees/`, `trajectories.jsonl` and perhaps `failed.jsonl`.
        path: The HTML file.
        settings: Of the filter whose reasons are shown.
        shown: Random walks to read.
        seed: Chooses them.

    Returns:
        The figures of the page.
    """
    folder, settings = Path(folder), settings or FilterSettings()
    questions = {question.id: question for question in read_questions(folder / "questions.jsonl")}
    trees = TreeStore(folder / "trees", capacity=64)
    figures, kept = SetFigures(), FilterReport()
    walks = gather(read_trajectories(folder / "trajectories.jsonl"), figures, shown, seed)
    for _ in filter_walks(walks, questions, trees, settings, kept):
        pass
    failed = list(read_rows(folder / "failed.jsonl")) if (folder / "failed.jsonl").is_file() else []
    told = _told(figures, kept, len(failed))
    # Autoescape for every name: whatever stands in captions and reasoning is text.
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("report.html").render(
        folder=folder.resolve().name, told=told, failed=_reasons(failed), pictures=_pictures(figures, kept),
        models=", ".join(sorted(filter(None, figures.models))) or "unnamed",
        walks=[_shown(walk, questions[walk.question_id], trees, settings) for walk in figures.sample],
    )  # fmt: skip
    write_atomic(path, page)
    return told


def _told(figures: SetFigures, kept: FilterReport, failed: int) -> dict[str, Any]:
    walks = max(1, figures.walks)
    visits = sum(figures.tools.values())
    return {
        "walks": figures.walks, "failed": failed, "right": kept.right, "kept": kept.kept,
        "closed_book_share": kept.closed_book_share, "closed_book": kept.closed_book,
        "turns": sum(number * count for number, count in figures.turns.items()) / walks,
        "visits": visits / walks, "video_qa_share": figures.with_video_qa / walks,
        "hinted_share": 1 - figures.hints[0] / walks, "prompt_tokens": figures.prompt_tokens,
        "completion_tokens": figures.completion_tokens,
        "median_tokens": median(figures.tokens) if figures.tokens else 0, "usd": figures.usd,
        "usd_a_kept_walk": figures.usd / kept.kept if kept.kept else None,
        "malformed": figures.malformed, "dropped_calls": figures.dropped_calls,
        "dropped": kept.to_dict()["dropped"], "found": kept.to_dict()["found"],
    }  # fmt: skip


def _pictures(figures: SetFigures, kept: FilterReport) -> list[tuple[str, Markup]]:
    """Titles and drawings; the drawings are ours, so they are not escaped."""
    drawn = [
        ("How walks ended", bars("ends", dict(figures.ends.most_common()), "walks")),
        ("Why walks were dropped", bars("dropped", kept.to_dict()["dropped"], "walks, by the first reason")),
        ("Turns of a walk", histogram("turns", figures.turns, "assistant messages")),
        ("Visits of a walk", histogram("visits", figures.visits, "executed calls")),
        ("Hints before the answer", histogram("hints", figures.hints, "hints")),
        ("Visits by tool", bars("tools", dict(figures.tools.most_common()), "visits")),
        (
            "Visits by level",
            bars("depth", {f"level {level}": count for level, count in sorted(figures.depth.items())}, "visits"),
        ),
        ("Completion tokens of a walk", histogram("tokens", _counted(figures.tokens), "tokens")),
    ]
    return [(title, Markup(svg)) for title, svg in drawn if svg]


def _counted(values: Iterable[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def _reasons(failed: list[dict[str, Any]]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for row in failed:
        reason = str(row.get("reason", ""))[:200]
        counts[reason] = counts.get(reason, 0) + 1
    return sorted(counts.items(), key=lambda pair: -pair[1])[:20]


def _shown(walk: Trajectory, question: Question, trees: TreeStore, settings: FilterSettings) -> dict[str, Any]:
    turns = []
    for message in walk.messages[2:]:
        if message["role"] == "tool":
            turns.append({"kind": "result", "text": message["content"]})
            continue
        calls = [call_text(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()]
        turns.append({"kind": "thought", "text": message.get("reasoning_content") or ""})
        turns += [{"kind": "call", "text": call} for call in calls]
        if message.get("content"):
            turns.append({"kind": "answer", "text": message["content"]})
    grid = trees[walk.video_id].grid
    leaks = find_leaks(walk.messages) if walk.teacher.get("hints") else []
    return {
        "id": walk.id, "question": walk.messages[1]["content"].partition("\n\nThe video lasts ")[0],
        "outcome": _outcome(walk, question), "visits": len(walk.visits), "turns": turns,
        "clues": ", ".join(f"{clock(start)}-{clock(end)}" for start, end in question.clue_intervals) or "none known",
        "hints": walk.teacher.get("hints", 0), "faults": faults(walk, question, grid, settings),
        "leaks": [f"{leak.kind}: {leak.quote}" for leak in leaks],
    }  # fmt: skip


def _outcome(walk: Trajectory, question: Question) -> str:
    if walk.prediction is None:
        return walk.status.value
    right = walk.prediction == question.answer
    return f"answered {walk.prediction}, {'right' if right else f'right is {question.answer}'}"
