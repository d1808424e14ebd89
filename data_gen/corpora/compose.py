"""Captions of every level composed from the annotated actions that fall in a segment."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from data_gen.corpora.actions import Action, AnnotatedVideo, sentence, word_count
from navigation import CaptionTree, SegmentPath, TimeGrid

NOTHING = "No annotated action."
CONTINUED = " (continued)"
"""Ends the text of an action that the segment before shows too."""

HIGH, MEDIUM, LEAF = 120, 90, 60
"""Most words in a caption, by how far its level is from the leaves (two or more, one, none)."""

SHARE, LONGEST = 1 / 8, 3
"""A high caption tells actions that fill this share of its segment, and this many longest ones whatever they fill.

Annotations list every step; were all told at the top, which step follows which would be known before any visit.
"""

RECIPE = "texts of the actions in the segment, in time order: with parts at the leaves, main ones at the top"


def compose(video: AnnotatedVideo, made_by: str, grid: TimeGrid | None = None) -> CaptionTree:
    """The caption tree of an annotated video; `grid` is by default the published shape for its duration."""
    grid = grid or TimeGrid.for_duration(video.duration)
    captions: dict[SegmentPath, str] = {}
    for level in range(1, grid.depth + 1):
        steps = _by_segment(video.steps, grid, level)
        parts = _by_segment([part for step in video.steps for part in step.parts], grid, level)
        for path in grid.paths(level):
            captions[path] = _caption(video, grid, path, steps.get(path, ()), parts.get(path, ()))
    return CaptionTree(video.video_id, grid, captions, {"captioner": made_by, "recipe": RECIPE}, video.lines())


def _caption(
    video: AnnotatedVideo, grid: TimeGrid, path: SegmentPath, steps: Sequence[Action], parts: Sequence[Action]
) -> str:
    start, end = grid.interval(path)
    above = grid.depth - len(path)
    limit = LEAF if above == 0 else MEDIUM if above == 1 else HIGH
    goal = ""
    if above >= 2 and video.goal and video.goal_span[0] < end and video.goal_span[1] > start:
        goal = f"Goal: {sentence(video.goal)} "
        limit -= word_count(goal)
    here = {id(part) for part in parts}
    # A part that is annotated outside its step's span stands for itself.
    owned = {id(part) for step in steps for part in step.parts}
    steps = sorted(
        [*steps, *(part for part in parts if id(part) not in owned)], key=lambda each: (each.start, each.end)
    )

    def with_parts(step: Action) -> str:
        return "; ".join(_merged(part.text.rstrip(" .") for part in step.parts if id(part) in here))

    def with_summary(step: Action) -> str:
        return "; ".join(_merged(text.rstrip(" .") for text in step.summary))

    def with_either(step: Action) -> str:
        return with_parts(step) or ("" if step.parts else with_summary(step))

    def bare(step: Action) -> str:
        return ""

    shown = _main_actions(steps, (start, end)) if above >= 2 else list(steps)
    # From the fullest telling to the barest; the first that fits is the caption.
    for detail in (with_summary, bare) if above >= 2 else (with_either, with_parts, bare):
        told = _told(shown, len(steps), (start, end), detail)
        if word_count(told) <= limit:
            return goal + (told or NOTHING)
    return goal + _told(_longest_that_fit(shown, (start, end), limit), len(steps), (start, end), bare)


def _main_actions(steps: Sequence[Action], span: tuple[float, float]) -> list[Action]:
    """What a summary of the segment would tell: actions that fill a good share of it, and the longest in any case."""
    order = sorted(steps, key=lambda step: (-_shared(step, span), step.start))
    main = {
        id(step)
        for place, step in enumerate(order)
        if place < LONGEST or _shared(step, span) >= SHARE * (span[1] - span[0])
    }
    return [step for step in steps if id(step) in main]


def _longest_that_fit(steps: Sequence[Action], span: tuple[float, float], limit: int) -> list[Action]:
    """The longest steps whose texts, and the note on the others, fit in `limit` words; in time order."""
    kept, words = set(), 6
    for step in sorted(steps, key=lambda step: (-_shared(step, span), step.start)):
        words += word_count(_phrase(step, span, ""))
        if words > limit:
            break
        kept.add(id(step))
    return [step for step in steps if id(step) in kept]


def _told(steps: Sequence[Action], of: int, span: tuple[float, float], detail: Callable[[Action], str]) -> str:
    """The steps' texts, and how many of all `of` steps are not among them."""
    told = _merged(_phrase(step, span, detail(step)) for step in steps)
    if left_out := of - len(steps):
        told.append(f"({left_out} shorter action{'s' * (left_out > 1)} left out.)")
    return " ".join(told)


def _phrase(step: Action, span: tuple[float, float], detail: str) -> str:
    text = step.text.rstrip(" .")
    # Continued only where the segment before shows it too.
    if span[0] > step.start and span[0] - step.start >= _least(step, span[1] - span[0]):
        text += CONTINUED
    return sentence(f"{text}: {detail}" if detail else text)


def _by_segment(actions: Iterable[Action], grid: TimeGrid, level: int) -> Mapping[SegmentPath, list[Action]]:
    """The actions of each segment of a level, by start."""
    found: dict[SegmentPath, list[Action]] = {}
    for action in sorted(actions, key=lambda each: (each.start, each.end)):
        for path in grid.overlapping(action.start, action.end, level):
            start, end = grid.interval(path)
            if _shared(action, (start, end)) >= _least(action, end - start):
                found.setdefault(path, []).append(action)
    return found


def _shared(action: Action, span: tuple[float, float]) -> float:
    """Seconds of an action inside a span that it overlaps."""
    return min(span[1], action.end) - max(span[0], action.start)


def _least(action: Action, segment_length: float) -> float:
    """Seconds of an action that must fall in a segment for the segment to show it."""
    return min(1.0, segment_length / 2, (action.end - action.start) / 2)


def _merged(texts: Iterable[str]) -> list[str]:
    """Neighbours that say the same become one; a later repeat stays, since order is what questions ask about."""
    found: list[str] = []
    for text in texts:
        if text and (not found or text.casefold() != found[-1].casefold()):
            found.append(text)
    return found
