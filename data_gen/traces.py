"""The scripted stage of data generation: a corpus's questions and trees, and the expert's trajectories over them."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from data_gen.corpora import Corpus, folder_corpus, load_corpus, write_corpus
from data_gen.corpora.corpus import corpus_stats, opened
from data_gen.expert import Expert
from data_gen.transcript import Transcript
from navigation import (
    DEFAULT_TOOLS,
    CaptionTree,
    EnvironmentFactory,
    InputError,
    Limits,
    Question,
    SearchSettings,
    Trajectory,
    TreeStore,
    read_questions,
    repeats,
    run,
    write_json,
    write_jsonl,
)
from navigation.prompt import told_tools
from navigation.search import told_search
from runtime import Progress


def write_questions(
    name: str,
    data: str | Path | None,
    out: str | Path,
    seed: int = 0,
    limit: int | None = None,
    open_form: bool = False,
) -> dict[str, Any]:
    """Writes `questions.jsonl`, `trees/` and `skipped.jsonl` of a corpus; returns its counts.

    Raises:
        InputError: see `load_corpus`; or `out` holds a teacher's trajectories, and a question or tree that they are
            about would change or go.
    """
    corpus = load_corpus(name, data, seed, limit, open_form)
    if _teacher_of(Path(out)):
        _check_kept(corpus, Path(out))
    return write_corpus(corpus, out)


def write_traces(
    name: str | None,
    data: str | Path | None,
    out: str | Path,
    seed: int = 0,
    limit: int | None = None,
    wander: float = 0.35,
    samples: int = 1,
    tools: Sequence[str] = DEFAULT_TOOLS,
    search: SearchSettings | None = None,
    open_form: bool = False,
) -> dict[str, Any]:
    """Everything `make sft` needs: questions, trees, the expert's trajectories, and `stats.json`.

    Args:
        name: Corpus, see `load_corpus`; None if `data` is a folder with `questions.jsonl` and `trees/`.
        data: Its folder as downloaded; None for a generated one.
        out: Folder to write; it may be `data` itself where that holds questions and trees, which then stay as they are.
        wander: See `data_gen.expert.Expert`.
        samples: Trajectories for each question.
        tools: What episodes have.
        search: What a search looks at and tells.
        open_form: See `load_corpus`.

    Questions without clue intervals get no trajectory and are counted; so are those whose video has no tree.

    Raises:
        InputError: see `load_corpus`; `out` holds trajectories of a teacher, an evaluation or unknown origin; or no
            question has both clue intervals and a tree: then questions and trees are written, trajectories are not.
    """
    out = Path(out)
    within = name is None and data is not None and out.resolve() == Path(data).resolve()
    if within and open_form:
        raise InputError(
            out, "open_form", True, "give another folder to write: this one's questions keep their options"
        )
    _refuse_trajectories_of_others(out, within)
    if name is not None:
        corpus = load_corpus(name, data, seed, limit, open_form)
    elif data is not None:
        corpus = folder_corpus(data, seed, limit)
        corpus = opened(corpus) if open_form else corpus
    else:
        hint = "give a folder with questions.jsonl and trees/, or --corpus"
        raise InputError("command line", "folder", None, hint)
    stats = corpus_stats(corpus) if within else write_corpus(corpus, out)
    trees = TreeStore(out / "trees", capacity=1)
    ready = [question for question in corpus.questions if question.clue_intervals and question.video_id in trees]
    if not ready:
        raise InputError(out, "trajectories", 0, _what_is_missing(corpus))
    # Trees are opened once each when a video's questions come together.
    ready.sort(key=lambda question: question.video_id)
    trajectories = asyncio.run(
        _navigate(ready, EnvironmentFactory.of(trees, tools=tools, search=search), seed, wander, samples)
    )
    write_jsonl(out / "trajectories.jsonl", (trajectory.to_dict() for trajectory in trajectories))
    stats["trajectories"] = {
        "teacher": "expert",
        "wander": wander,
        "seed": seed,
        **told_tools(tools),
        **told_search(tools, search or SearchSettings()),
        "without_clues": sum(not question.clue_intervals for question in corpus.questions),
        "without_tree": sum(question.video_id not in trees for question in corpus.questions),
        **trajectory_stats(trajectories),
    }
    write_json(out / "stats.json", stats)
    return stats


def _teacher_of(out: Path) -> Path | None:
    """What says that a model's trajectories, which may have been paid for, are in this folder; None if none are."""
    marks = (out / ".run" / "teacher" / "settings.json", out / "teacher.json")
    return next((mark for mark in marks if mark.is_file()), None)


def _refuse_trajectories_of_others(out: Path, within: bool) -> None:
    """Raises before trajectories that this stage did not write would be overwritten.

    Args:
        out: The folder.
        within: Whether the folder is the user's own, in which trajectories may be anybody's.
    """
    mark = _teacher_of(out)
    if mark is not None:
        raise InputError(
            mark, "folder", "trajectories of a model", f"{out} holds them: write the expert's to another folder"
        )
    if not (out / "trajectories.jsonl").is_file():
        return
    hint = "write the expert's trajectories to another folder, with --out"
    if (out / "settings.json").is_file():
        raise InputError(out / "settings.json", "folder", "results of an evaluation", hint)
    if within:
        try:
            stats = json.loads((out / "stats.json").read_text(encoding="utf-8"))
            own = stats["trajectories"]["teacher"] == "expert"
        except (OSError, ValueError, LookupError, TypeError):
            own = False
        if not own:
            raise InputError(out / "trajectories.jsonl", "folder", "trajectories of somebody else", hint)


def _check_kept(corpus: Corpus, out: Path) -> None:
    """Refuses a corpus in which a question or tree of the folder is another one or missing. More may be added."""
    hint = "a teacher's trajectories in this folder are about it: write the corpus to another folder"
    path = out / "questions.jsonl"
    if path.is_file():
        asked = {question.id: _plain(question) for question in corpus.questions}
        for question in read_questions(path):
            if asked.get(question.id) != _plain(question):
                raise InputError(path, "question", question.id, f"it would change or go, but {hint}")
    trees = TreeStore(out / "trees", capacity=1)
    for tree in corpus.trees:
        if tree.video_id in trees and _plain(trees[tree.video_id]) != _plain(tree):
            raise InputError(trees.path(tree.video_id), "tree", tree.video_id, f"it would change, but {hint}")


def _plain(record: Question | CaptionTree) -> Any:
    """As it is read back from JSON, where tuples are lists."""
    return json.loads(json.dumps(record.to_dict()))


def _what_is_missing(corpus: Corpus) -> str:
    """What the scripted expert lacks, and where it comes from."""
    clued = [question for question in corpus.questions if question.clue_intervals]
    if not clued:
        return (
            f"no question of {corpus.name} has clue intervals, which lead the expert: its questions are there, "
            "`clipscout teacher` navigates for them with a model"
        )
    return (
        f"none of the {len(clued)} questions with clue intervals has a caption tree: questions.jsonl is there, put "
        "the videos' trees into trees/ beside it (`clipscout captions`), then run this again"
    )


async def _navigate(
    questions: list[Question], factory: EnvironmentFactory, seed: int, wander: float, samples: int
) -> list[Trajectory]:
    expert = Expert(questions, seed, wander)
    environment = factory()
    trajectories = []
    with Progress("trajectories") as progress:
        progress.expect(len(questions) * samples)
        for question, sample in itertools.product(questions, range(samples)):
            trajectory = await run(expert, environment, question, Limits(turns=30), sample)
            trajectory.seconds = 0.0  # the clock is no part of the record: the same seed writes the same file
            supported = Transcript(question, trajectory.messages).support() is not None
            trajectory.teacher = {
                "model": "expert",
                "hints": 0,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "usd": 0.0,
                "supported": supported,
            }
            trajectories.append(trajectory)
            progress.advance()
    return trajectories


def trajectory_stats(trajectories: list[Trajectory]) -> dict[str, Any]:
    """Counts and means over trajectories."""
    if not trajectories:
        return {"trajectories": 0}
    visits = [visit for trajectory in trajectories for visit in trajectory.visits]
    lookups = Counter(lookup.tool for trajectory in trajectories for lookup in trajectory.lookups)
    return {
        "trajectories": len(trajectories),
        "right": sum(trajectory.correct for trajectory in trajectories),
        "unsupported": sum(trajectory.teacher.get("supported") is False for trajectory in trajectories),
        "statuses": dict(Counter(trajectory.status.value for trajectory in trajectories)),
        "mean_visits": round(fmean(len(trajectory.visits) for trajectory in trajectories), 3),
        "mean_turns": round(fmean(trajectory.turns for trajectory in trajectories), 3),
        "visits_by_tool": dict(Counter(visit.tool for visit in visits)),
        **({"lookups_by_tool": dict(lookups)} if lookups else {}),
        "visits_by_level": {str(level): count for level, count in sorted(Counter(len(v.path) for v in visits).items())},
        "repeated_visits": sum(repeats(trajectory.visits) for trajectory in trajectories),
        "refused_calls": sum(trajectory.refused for trajectory in trajectories),
        "mean_characters": round(fmean(len(json.dumps(trajectory.messages)) for trajectory in trajectories)),
    }
