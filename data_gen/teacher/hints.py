"""What a teacher is told after each wrong answer. Hints are in its private transcript only."""

from data_gen.teacher import prompt
from data_gen.teacher.settings import HintSettings
from navigation import LETTERS, Question
from navigation.grid import TimeGrid, format_path


def hints(question: Question, grid: TimeGrid, settings: HintSettings) -> list[str]:
    """The hints for a question, in the order in which they are given.

    Every named segment exists: a clue that ends with the video names the last segment, not one after it. A question
    without clue intervals has the last hint only.
    """
    given = []
    if question.clue_intervals:
        for level in range(1, min(grid.depth, settings.levels if settings.levels is not None else grid.depth) + 1):
            named = clue_segments(question, grid, level)[: settings.most_segments]
            given.append(prompt.LOOK.format(segments=_listed(named)))
    if settings.verify:
        if question.clue_intervals:
            named = clue_segments(question, grid, grid.depth)[: settings.most_segments]
            given.append(prompt.VERIFY_ON.format(segments=_listed(named)))
        else:
            given.append(prompt.VERIFY)
    return given


def clue_segments(question: Question, grid: TimeGrid, level: int) -> list[tuple[int, ...]]:
    """Segments of a level that share time with the clue, in time order, each once."""
    found = {path for begin, end in question.clue_intervals for path in grid.overlapping(begin, end, level)}
    return sorted(found)


def hint_message(letter: str, hint: str) -> str:
    """The private message after the wrong answer `letter`."""
    assert letter in LETTERS
    return prompt.WRONG.format(letter=letter, hint=hint)


def _listed(paths: list[tuple[int, ...]]) -> str:
    text = prompt.ONE_SEGMENT if len(paths) == 1 else prompt.MANY_SEGMENTS
    return text.format(paths=", ".join(map(format_path, paths)))
