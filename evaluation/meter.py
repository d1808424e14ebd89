"""What is measured of one episode, the same way for every strategy: what it looked at, read, cost and cited."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Any

from evaluation.cost_model import CHARACTERS_A_TOKEN, CostModel
from navigation import (
    GET_CAPTION,
    SEARCH,
    VIDEO_QA,
    CaptionTree,
    Search,
    SegmentPath,
    TimeGrid,
    Trajectory,
    TreeStore,
    Visit,
)
from navigation.prompt import describe
from navigation.times import Span, read_spans

MEANS = (
    "get_caption",
    "video_qa",
    "frames",
    "seconds_seen",
    "captions",
    "model_calls",
    "tokens_read",
    "tokens_sent",
    "usd",
    "usd_computed",
    "seconds_computed",
    "seconds_on_demand",
)
"""What `Meter.read` counts, besides lists."""

MOST = 5
"""Spans of evidence that count: CG-Bench ignores intervals beyond five."""

_TAG = re.compile("<(/?)evidence>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Measures:
    """What the evaluation measured of one episode; in its record under `measures`.

    Args:
        visit_cost: What all visits cost, in visit units. (The reward charges cost above a budget, right answers only.)
        index_captions: Captions that the policy's index of the video needs, or that were searched; None without.
        evidence: See `evidence`.
        unread_evidence: Pieces of the cited evidence that are no span inside the video; None if nothing was cited.
        meter: See `Meter.read`.
    """

    visit_cost: float | None = None
    index_captions: int | None = None
    evidence: Sequence[Span] = ()
    unread_evidence: int | None = None
    meter: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, trajectory: Trajectory) -> "Measures":
        """Reads them from a trajectory; records of version 0.1 keep them under `teacher`."""
        record = trajectory.measures or trajectory.teacher
        return cls(**{each.name: record[each.name] for each in fields(cls) if each.name in record})

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Meter:
    """Reads trajectories with one cost model."""

    costs: CostModel

    def read(
        self,
        trajectory: Trajectory,
        tree: CaptionTree,
        index_captions: int = 0,
        reads_overview: bool = True,
        account: Mapping[str, Any] | None = None,
        searched: Collection[SegmentPath] = (),
    ) -> dict[str, Any]:
        """Counts of one episode.

        - `get_caption`, `video_qa`: visits by tool; `by_level`: visits by level, top first; `lookups`: searches and
          jumps, where there are any.
        - `captions`: captions that had to exist: those opened, those of an index or of what was searched, and the top
          level if it was read.
        - `frames`: frames behind the captions opened (each once), and those of `video_qa`. What the captioner saw for
          an index or for the top level is building cost and not counted here.
        - `seconds_seen`: union of the opened segments.
        - `model_calls`: turns, or what the policy says it asked for.
        - `tokens_read`: every text once, as with a cache that keeps prefixes; `tokens_sent`: the transcript anew at
          each turn. Both are characters / 4, so that rules and models are on one scale; measured tokens stand in the
          trajectory.
        - `usd`: as the endpoint's usage says; `usd_computed`: all calls and the captions made on demand, by the model.
        - `seconds_computed`: calls times seconds a call; `seconds_on_demand`: with the captions made when asked for.

        Args:
            trajectory: With its messages.
            tree: Of its video.
            index_captions: Captions that must exist before the first question.
            reads_overview: Whether the policy uses the top-level captions that the prompt shows.
            account: What the policy says it spent: `model_calls`, `usd`.
            searched: Segments whose captions a search of the episode looked at.
        """
        account, grid, costs = account or {}, tree.grid, self.costs
        opened = {visit.path for visit in trajectory.visits if visit.tool == GET_CAPTION}
        asked = sum(visit.tool == VIDEO_QA for visit in trajectory.visits)
        levels = Counter(len(visit.path) for visit in trajectory.visits)
        paths = needed(opened, tree, index_captions, reads_overview, searched)
        captions = len(paths)
        frames = asked * costs.video_qa_frames
        frames += sum(costs.frames_of(tree.made_by, len(path), grid.depth) for path in opened)
        read, sent = _tokens(trajectory, 0 if reads_overview else len(describe(tree)))
        calls = account.get("model_calls", trajectory.turns)
        prompt = trajectory.prompt_tokens or sent
        completion = trajectory.completion_tokens or trajectory.turns * costs.turn_tokens
        made = caption_frames(paths, tree, costs)
        usd = costs.language_usd(prompt, completion) + costs.vision_usd(made, captions)
        usd += costs.vision_usd(asked * costs.video_qa_frames, asked)
        seconds = calls * costs.language_seconds + asked * costs.video_qa_seconds
        return {
            "get_caption": len(trajectory.visits) - asked,
            "video_qa": asked,
            **({"lookups": len(trajectory.lookups)} if trajectory.lookups else {}),
            "by_level": [levels[level] for level in range(1, grid.depth + 1)],
            "frames": frames,
            "seconds_seen": _rounded(_union(opened, tree)),
            "captions": captions,
            "model_calls": calls,
            "tokens_read": read,
            "tokens_sent": sent,
            "usd": _rounded(account.get("usd", 0.0)),
            "usd_computed": _rounded(usd),
            "seconds_computed": _rounded(seconds),
            "seconds_on_demand": _rounded(seconds + captions * costs.caption_seconds),
        }


def needed(
    opened: Iterable[SegmentPath],
    tree: CaptionTree,
    index_captions: int,
    reads_overview: bool,
    searched: Iterable[SegmentPath] = (),
) -> set[SegmentPath]:
    """Segments whose captions an episode cannot do without."""
    paths = {*opened, *searched}
    if index_captions:
        paths.update(tree.grid.paths(tree.grid.depth))
    if reads_overview:
        paths.update(tree.top_level)
    return paths


def searched_captions(trajectory: Trajectory, tree: CaptionTree, search: Search | None) -> list[SegmentPath]:
    """Segments whose captions the searches of an episode looked at; none without a search."""
    if search is None or not any(lookup.tool == SEARCH for lookup in trajectory.lookups):
        return []
    return search.captions_read(tree)


def caption_frames(paths: Iterable[SegmentPath], tree: CaptionTree, costs: CostModel) -> int:
    """Frames that a captioner looks at to caption these segments."""
    levels = Counter(map(len, paths))
    depth = tree.grid.depth
    return sum(count * costs.frames_of(tree.made_by, level, depth) for level, count in levels.items())


def build_cost(
    trajectories: Iterable[Trajectory],
    trees: TreeStore,
    costs: CostModel,
    indexed: bool,
    reads_overview: bool,
    search: Search | None = None,
) -> dict[str, dict[str, float]]:
    """What captions cost over all questions, a video's questions sharing them: made on demand, and all of the trees.

    A video that any question searched needs what `search` reads of it, once for all its questions.

    Returns:
        `{"on_demand": {"captions", "frames", "usd", "seconds"}, "full_index": {…}}`.
    """
    opened: dict[str, set[SegmentPath]] = {}
    for trajectory in trajectories:
        visited = opened.setdefault(trajectory.video_id, set())
        visited.update(visit.path for visit in trajectory.visits if visit.tool == GET_CAPTION)
        visited.update(searched_captions(trajectory, trees[trajectory.video_id], search))
    sums = {"on_demand": [0, 0], "full_index": [0, 0]}
    for video_id in sorted(opened):
        tree = trees[video_id]
        wanted = needed(opened[video_id], tree, int(indexed), reads_overview)
        for name, paths in (("on_demand", wanted), ("full_index", set(tree.grid.paths()))):
            sums[name][0] += len(paths)
            sums[name][1] += caption_frames(paths, tree, costs)
    return {
        name: {
            "captions": captions,
            "frames": frames,
            "usd": _rounded(costs.vision_usd(frames, captions)),
            "seconds": captions * costs.caption_seconds,
        }
        for name, (captions, frames) in sums.items()
    }


def _tokens(trajectory: Trajectory, unread: int) -> tuple[int, int]:
    """Estimated tokens of the whole transcript, and of what was sent over all turns; `unread` characters less each."""
    read, sent = -unread, 0
    for message in trajectory.messages:
        if message.get("role") == "assistant":
            sent += read
        read += _characters(message)
    return max(0, -(-read // CHARACTERS_A_TOKEN)), max(0, -(-sent // CHARACTERS_A_TOKEN))


def _characters(message: Mapping[str, Any]) -> int:
    count = sum(len(message.get(key) or "") for key in ("content", "reasoning_content"))
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        count += len(str(function.get("arguments"))) + len(str(function.get("name"))) if function else 0
    return count


def _union(opened: set[SegmentPath], tree: CaptionTree) -> float:
    """Seconds of the union of segments: those inside another opened one add nothing."""
    total = 0.0
    for path in sorted(opened):
        if not any(path[:level] in opened for level in range(1, len(path))):
            begin, end = tree.grid.interval(path)
            total += end - begin
    return total


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")


def cite(spans: Sequence[Span]) -> str:
    """The tag that `evidence` reads back; empty without spans."""
    return f"<evidence>{', '.join(f'{begin:.3f}-{end:.3f}' for begin, end in spans)}</evidence>" if spans else ""


def cited(messages: Sequence[Mapping[str, Any]], duration: float) -> tuple[list[Span], int] | None:
    """Spans that the last message cites in its last `<evidence>` tag, as written, and how many of its pieces are none.

    `navigation.times.read_spans` says what is read. A span is cut at the video's end; one that begins after it counts
    as none. None without a tag, or with an empty one.
    """
    content = messages[-1].get("content") if messages else None
    tags = list(_TAG.finditer(content)) if isinstance(content, str) else []
    pairs = [(first, last) for first, last in pairwise(tags) if not first.group(1) and last.group(1)]
    text = str(content)[pairs[-1][0].end() : pairs[-1][1].start()] if pairs else ""
    if not text.strip():
        return None
    read, unread = read_spans(text)
    spans = [(begin, min(duration, end)) for begin, end in read if begin <= duration]
    return spans, unread + len(read) - len(spans)


def evidence(messages: Sequence[Mapping[str, Any]], visits: Sequence[Visit], grid: TimeGrid) -> list[Span]:
    """Where an episode says its answer comes from, as grounding benchmarks score it.

    A policy may cite spans in its last message: `<evidence>12.0-16.0, 5:00-7:10</evidence>`, best first. One that cites
    nothing is taken at its visits: the segments of the deepest level that it opened, the last opened first.

    Returns:
        At most five spans in seconds inside the video, most important first; empty without citation and visits.
    """
    said = cited(messages, grid.duration)
    if said is not None:
        return said[0][:MOST]
    opened = [visit.path for visit in visits if visit.tool == GET_CAPTION]
    return _runs(opened, grid)[:MOST] if opened else []


def _runs(opened: Sequence[SegmentPath], grid: TimeGrid) -> list[Span]:
    """Runs of neighbouring opened segments of the deepest level reached; the run opened last comes first."""
    deepest = max(map(len, opened))
    last = {grid.index(path): place for place, path in enumerate(opened) if len(path) == deepest}
    runs: list[list[int]] = []
    for index in sorted(last):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    runs.sort(key=lambda run: -max(last[index] for index in run))
    begin = [grid.interval(grid.path(run[0], deepest))[0] for run in runs]
    end = [grid.interval(grid.path(run[-1], deepest))[1] for run in runs]
    return list(zip(begin, end, strict=True))
