"""Which trajectories are fit to learn from, and why the others are not."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from data_gen.filters.leaks import find_leaks
from data_gen.transcript import Transcript
from navigation import InputError, Question, Status, Trajectory, TreeStore, repeats, split_prompt
from navigation.grid import TimeGrid
from rewards.answer import Verdict

KEEP = ("first", "shortest", "all")
"""Which right trajectories of a question are kept: the first one, the one with fewest visits, or all."""

UNSUPPORTED = ("derived", "drop", "keep")
"""Which trajectories need an answer that something read supports: those with derived reasoning, all, or none."""

REASONS = (
    "not_answered",
    "unjudged",
    "wrong",
    "closed_book",
    "ungrounded",
    "unsupported",
    "repeats",
    "void_turns",
    "hinted",
    "leak_hint",
    "leak_retracted",
    "leak_unseen",
    "copied",
    "near_duplicate",
    "not_chosen",
)


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """What is dropped.

    Args:
        keep: One of `KEEP`.
        unsupported: One of `UNSUPPORTED`. The scripted expert's reasoning is derived: it says whatever leads to the
            right answer, and where nothing read does, imitating it teaches guessing. They are counted in any case.
        repeats: Drop trajectories that repeat a visit.
        void_turns: Drop trajectories with a refused call.
        ungrounded: Drop right answers that touched no clue; `closed_book` ones opened nothing at all.
        most_hints: Drop trajectories that needed more hints; None for no limit. At 0 nothing can leak.
        leaks: Drop hinted trajectories whose reasoning gives the hint away.
        copied: Drop answers whose option stands word for word in the question, and no other option does.
        near_duplicates: Threshold of `NearDuplicates`; None to keep them.
    """

    keep: str = "all"
    unsupported: str = "derived"
    repeats: bool = True
    void_turns: bool = True
    ungrounded: bool = True
    most_hints: int | None = None
    leaks: bool = True
    copied: bool = True
    near_duplicates: float | None = 0.9

    def __post_init__(self) -> None:
        if self.most_hints is not None and self.most_hints < 0:
            raise InputError("filter", "most_hints", self.most_hints, "give a whole number of at least 0, or none")
        if self.keep not in KEEP:
            raise InputError("filter", "keep", self.keep, f"give one of {', '.join(KEEP)}")
        if self.unsupported not in UNSUPPORTED:
            raise InputError("filter", "unsupported", self.unsupported, f"give one of {', '.join(UNSUPPORTED)}")
        if self.near_duplicates is not None and not 0 < self.near_duplicates <= 1:
            raise InputError("filter", "near_duplicates", self.near_duplicates, "give a share above 0, at most 1")


@dataclass(slots=True)
class FilterReport:
    """Counts of a filtering.

    Args:
        trajectories: Trajectories seen.
        kept: Trajectories kept.
        dropped: By the first reason, in the order of `REASONS`; sums with `kept` to `trajectories`.
        found: By every reason that holds, so that a trajectory may count several times.
        right: Trajectories with the right answer.
        closed_book: Right trajectories that touched no clue, those that opened nothing included. Questions without clue
            intervals count only if nothing was opened.
        grounding_known: Right trajectories whose question has clue intervals.
        unsupported: Right trajectories whose answer nothing read supports, dropped or not.
    """

    trajectories: int = 0
    kept: int = 0
    dropped: Counter = field(default_factory=Counter)
    found: Counter = field(default_factory=Counter)
    right: int = 0
    closed_book: int = 0
    grounding_known: int = 0
    unsupported: int = 0

    @property
    def closed_book_share(self) -> float | None:
        """Share of the right answers that were given without touching a clue."""
        return self.closed_book / self.right if self.right else None

    def to_dict(self) -> dict[str, Any]:
        record = asdict(self)
        record["dropped"] = {reason: self.dropped[reason] for reason in REASONS if self.dropped[reason]}
        record["found"] = {reason: self.found[reason] for reason in REASONS if self.found[reason]}
        return record | {"closed_book_share": self.closed_book_share}


Supports = Callable[[Question, Trajectory], bool]
"""Who says whether something that a trajectory read supports its right answer."""


def lexically_supported(question: Question, trajectory: Trajectory) -> bool:
    """Whether a caption opened names the right option, and no other option better: see `Transcript.support`."""
    recorded = trajectory.teacher.get("supported")
    if isinstance(recorded, bool):
        return recorded
    return Transcript(question, trajectory.messages).support() is not None


def faults(
    trajectory: Trajectory,
    question: Question,
    grid: TimeGrid,
    settings: FilterSettings,
    supports: Supports = lexically_supported,
) -> list[str]:
    """Every reason against a trajectory by itself, in the order of `REASONS`."""
    found = []
    if trajectory.status is not Status.ANSWERED:
        return ["not_answered"]
    right = is_right(trajectory, question)
    if not right:
        return ["unjudged" if right is None else "wrong"]
    if settings.ungrounded:
        if not trajectory.visits:
            found.append("closed_book")
        elif not touches_clue(trajectory, question, grid):
            found.append("ungrounded")
    derived = trajectory.teacher.get("model") == "expert"
    if (settings.unsupported == "drop" or (settings.unsupported == "derived" and derived)) and not supports(
        question, trajectory
    ):
        found.append("unsupported")
    if settings.repeats and repeats(trajectory.visits):
        found.append("repeats")
    if settings.void_turns and trajectory.refused:
        found.append("void_turns")
    if settings.most_hints is not None and trajectory.teacher.get("hints", 0) > settings.most_hints:
        found.append("hinted")
    if settings.leaks and trajectory.teacher.get("hints"):
        kinds = {leak.kind for leak in find_leaks(trajectory.messages)}
        found += [f"leak_{kind}" for kind in ("hint", "retracted", "unseen") if kind in kinds]
    if settings.copied and _copied(question):
        found.append("copied")
    return found


def is_right(trajectory: Trajectory, question: Question) -> bool | None:
    """Whether an answered trajectory is right; in words its verdict says so, and without one the rules.

    None where nobody could tell.
    """
    if question.is_open and trajectory.verdict:
        verdict = Verdict.from_dict(trajectory.verdict)
        return None if verdict.share is None else verdict.right
    return question.is_right(trajectory.prediction)


def touches_clue(trajectory: Trajectory, question: Question, grid: TimeGrid) -> bool:
    """Whether a visit shares time with a clue interval; true for any visit where no clue is known.

    An instant shares time with the segment that holds it.
    """
    if not question.clue_intervals:
        return bool(trajectory.visits)
    for visit in trajectory.visits:
        start, end = grid.interval(visit.path)
        for begin, stop in question.clue_intervals:
            if (begin < end and stop > start) or start <= begin < end or (begin == stop == end == grid.duration):
                return True
    return False


def filter_trajectories(
    trajectories: Iterable[Trajectory],
    questions: dict[str, Question],
    trees: TreeStore,
    settings: FilterSettings | None = None,
    report: FilterReport | None = None,
    supports: Supports = lexically_supported,
) -> Iterator[Trajectory]:
    """Trajectories that are fit, one at a time. Trajectories of one question should follow each other.

    Args:
        trajectories: What the teacher wrote.
        questions: By id.
        trees: For the time grids.
        settings: What is dropped.
        report: Is filled while trajectories are taken.
        supports: Judges support; the default by words, without a model.

    Raises:
        InputError: a trajectory of an unknown question.
    """
    settings, report = settings or FilterSettings(), report if report is not None else FilterReport()
    duplicates = None if settings.near_duplicates is None else NearDuplicates(settings.near_duplicates)
    for group in _by_question(trajectories):
        fit = []
        for trajectory in group:
            question = questions.get(trajectory.question_id)
            if question is None:
                hint = "give the questions.jsonl that the trajectories were made from"
                raise InputError("trajectories", "question_id", trajectory.question_id, hint)
            grid = trees[trajectory.video_id].grid
            report.trajectories += 1
            reasons = faults(trajectory, question, grid, settings, supports)
            if trajectory.status is Status.ANSWERED and is_right(trajectory, question):
                report.right += 1
                report.grounding_known += bool(question.clue_intervals)
                report.unsupported += "unsupported" in reasons or not supports(question, trajectory)
                report.closed_book += not touches_clue(trajectory, question, grid)
            if not reasons and duplicates is not None and duplicates.add(trajectory):
                reasons = ["near_duplicate"]
            report.found.update(reasons)
            if reasons:
                report.dropped[reasons[0]] += 1
            else:
                fit.append(trajectory)
        chosen = _chosen(fit, settings.keep)
        report.dropped["not_chosen"] += len(fit) - len(chosen)
        report.kept += len(chosen)
        yield from chosen


def _chosen(fit: list[Trajectory], keep: str) -> list[Trajectory]:
    if keep == "all" or not fit:
        return fit
    return [fit[0]] if keep == "first" else [min(fit, key=lambda trajectory: len(trajectory.visits))]


def _by_question(trajectories: Iterable[Trajectory]) -> Iterator[list[Trajectory]]:
    group: list[Trajectory] = []
    done: dict[str, bool] = defaultdict(bool)
    for trajectory in trajectories:
        if group and group[0].question_id != trajectory.question_id:
            done[group[0].question_id] = True
            yield group
            group = []
        if done[trajectory.question_id]:
            hint = "sort the file: all trajectories of a question must follow each other"
            raise InputError("trajectories", "question_id", trajectory.question_id, hint)
        group.append(trajectory)
    if group:
        yield group


def _copied(question: Question) -> bool:
    """Whether the question's own words give the right option away, and no other; never of an answer in words."""
    if question.is_open:
        return False
    text = question.question.lower()
    right = ord(question.answer) - ord("A")
    inside = [len(option) > 2 and _stands_in(option.lower().strip(" ."), text) for option in question.options]
    return inside[right] and sum(inside) == 1


def _stands_in(words: str, text: str) -> bool:
    """Whether whole words stand in a text: "hat" does not in "what". Words may begin and end with any sign."""
    return bool(words) and re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


def pass_rates(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """Share of right answers among the trajectories of each question, by question id.

    A trajectory that failed (the policy itself raised, the endpoint was gone) or whose answer nobody could judge says
    nothing of its question and is left out; a question with no other has no rate. A trajectory that ran out of turns or
    tokens did not solve its question.

    Args:
        trajectories: Several trajectories of each question by one policy, usually the SFT policy, sampled at the
            temperature of GRPO.
    """
    solved: dict[str, list[bool]] = defaultdict(list)
    for trajectory in trajectories:
        if trajectory.status is not Status.FAILED and trajectory.decided:
            solved[trajectory.question_id].append(trajectory.correct)
    return {question: sum(each) / len(each) for question, each in solved.items()}


_WORD = re.compile(r"\w+")
_RUN = 3
_MIX = np.uint64(0x9E3779B97F4A7C15)
_POWERS = np.cumprod(np.full(64, _MIX, np.uint64))
# Bytes above 127 are parts of letters more often than of punctuation.
_IN_WORD = np.array([chr(byte).isalnum() or byte > 127 for byte in range(256)])


class NearDuplicates:
    """Remembers trajectories and tells whether a new one repeats one of them.

    Two trajectories of a video are near-duplicates if they ask the same question, by its words, and either make the
    same visits in the same order, or share at least `threshold` of their shingles (Jaccard index of the sets of runs of
    three words of reasoning and calls). A trajectory is remembered in four bytes a word.

    Args:
        threshold: 0 to 1; 1 leaves only equal ones.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold
        self._seen: dict[Hashable, list[tuple[int, np.ndarray]]] = defaultdict(list)

    def add(self, trajectory: Trajectory) -> bool:
        """Whether the trajectory repeats one that was added before; if not, it is remembered."""
        key = (trajectory.video_id, _normal(split_prompt(trajectory.messages[1]["content"])[1]))
        visits = hash(tuple(trajectory.visits))
        own = shingles(trajectory)
        for other_visits, other in self._seen[key]:
            if visits == other_visits:
                return True
            shared = len(np.intersect1d(own, other, assume_unique=True))
            if shared and shared >= self.threshold * (len(own) + len(other) - shared):
                return True
        self._seen[key].append((visits, own))
        return False


def _normal(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def shingles(trajectory: Trajectory) -> np.ndarray:
    """Hashes of the runs of words, each once, as 32-bit numbers."""
    texts = []
    for message in trajectory.messages:
        if message["role"] == "assistant":
            texts.append(message.get("reasoning_content") or "")
            texts += (str(call["function"]["arguments"]) for call in message.get("tool_calls") or ())
    data = np.frombuffer(" ".join(texts).lower().encode("utf-8", "replace"), np.uint8)
    hashes = _word_hashes(data)
    runs = np.zeros(max(1, len(hashes) - _RUN + 1), np.uint64)
    for place in range(min(_RUN, len(hashes))):
        runs = (runs + hashes[place : place + len(runs)] + np.uint64(1)) * _MIX
    # A product's upper half is the well-mixed one.
    found = np.sort((runs >> np.uint64(32)).astype(np.uint32))
    return found[np.append(True, found[1:] != found[:-1])]


def _word_hashes(data: np.ndarray) -> np.ndarray:
    """A 64-bit number for each word of UTF-8 bytes: the sum of its bytes times a power for each place in the word."""
    inside = _IN_WORD[data]
    starting = inside & ~np.append(False, inside[:-1])
    starts = np.flatnonzero(starting)
    if not len(starts):
        return np.zeros(0, np.uint64)
    # What stands before the first word belongs to no word; its value is 0.
    place = np.arange(len(data)) - starts[np.maximum(np.cumsum(starting) - 1, 0)]
    values = np.where(inside, (data.astype(np.uint64) + np.uint64(1)) * _POWERS[place % len(_POWERS)], np.uint64(0))
    return np.add.reduceat(values, starts)
