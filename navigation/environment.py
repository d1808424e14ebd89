"""The world that every stage shares: a question, a caption tree, two tools and a record of what was done with them."""

from dataclasses import dataclass, field
from typing import Any

from navigation.caption_tree import CaptionTree, TreeStore
from navigation.errors import InputError
from navigation.grid import SegmentPath, format_path
from navigation.prompt import caption_line, without_markup
from navigation.tools import GET_CAPTION, VIDEO_QA, ClipAnswerer, LineAnswerer, parse_path
from navigation.trajectory import Visit


class NavigationEnvironment:
    """One episode's state: which video, and every call made so far.

    The public methods besides `reset` are the tools (the shape TRL's `environment_factory` expects). A bad call returns
    a text that tells the policy what would be right, and never raises. Knows nothing of tokens, models, answers or
    clues: `reset` takes a whole question row and keeps the video id alone.

    Args:
        trees: Where caption trees come from.
        answerer: Who answers `video_qa`; default: the tree's own timed lines.
    """

    def __init__(self, trees: TreeStore, answerer: ClipAnswerer | None = None) -> None:
        self._trees = trees
        self._answerer = answerer or LineAnswerer()
        self._tree: CaptionTree | None = None
        self._visits: list[Visit] = []
        self._refusals: list[str] = []
        self._read: set[SegmentPath] = set()

    def reset(self, **question_row: Any) -> None:
        """Begins an episode on the row's `video_id`. The prompt (`initial_messages`) shows the tree's top level.

        Raises:
            InputError: the row has no `video_id`, or its tree is missing.
        """
        video_id = question_row.get("video_id")
        if not isinstance(video_id, str):
            raise InputError("question row", "video_id", video_id, "give the id of the video the question asks about")
        self._tree, self._visits, self._refusals, self._read = None, [], [], set()
        self._tree = self._trees[video_id]

    def get_caption(self, segment: list[int]) -> str:
        """
        Read the caption of one segment.

        Args:
            segment: Address of the segment, for example [2, 5] or [2, 5, 1].
        """
        path, refusal = self._address(segment)
        if path is None:
            return self._refuse(refusal)
        tree = self.tree
        caption = tree.captions.get(path)
        if caption is None:
            return self._refuse(f"Error: segment {format_path(path)} has no caption yet. Open another segment.")
        self._visits.append(Visit(GET_CAPTION, path))
        self._read.add(path)
        return caption_line(tree.grid, path, caption)

    def video_qa(self, segment: list[int], query: str) -> str:
        """
        Ask a vision model about one segment of the last level, after reading its caption.

        Args:
            segment: Address of the segment, for example [2, 5, 1].
            query: What to look for in the clip.
        """
        path, refusal = self._address(segment)
        if path is None:
            return self._refuse(refusal)
        if not isinstance(query, str) or not query.strip():
            return self._refuse("Error: video_qa needs a query: say in words what to look for.")
        grid = self.tree.grid
        if not grid.is_leaf(path):
            return self._refuse(
                f"Error: video_qa works on the last level only: give {grid.depth} numbers, for example "
                f"{format_path(path + (1,) * (grid.depth - len(path)))}."
            )
        if path not in self._read:
            return self._refuse(f"Error: read the caption first: get_caption({format_path(path)}).")
        answer = self._answerer.answer(self.tree, path, query)
        self._visits.append(Visit(VIDEO_QA, path, query))
        return without_markup(answer)

    # Properties, because trl takes every public method for a tool.

    @property
    def visits(self) -> list[Visit]:
        """Visits of the current episode in order."""
        return list(self._visits)

    @property
    def refusals(self) -> list[str]:
        """Error texts that the current episode's bad calls got."""
        return list(self._refusals)

    @property
    def tree(self) -> CaptionTree:
        """The tree that is being played; there is none before `reset`."""
        if self._tree is None:
            raise RuntimeError("call reset() before any tool")
        return self._tree

    def _address(self, segment: object) -> tuple[SegmentPath | None, str]:
        grid = self.tree.grid
        path = parse_path(segment)
        example = format_path((1,) * min(2, grid.depth))
        if path is None:
            return None, f"Error: segment must be a list of whole numbers, for example {example}."
        if len(path) > grid.depth:
            return None, f"Error: the tree has {grid.depth} levels: give at most {grid.depth} numbers."
        if not grid.contains(path):
            return None, f"Error: no segment {_short(path)}: every number lies between 1 and {grid.width}."
        return path, ""

    def _refuse(self, text: str) -> str:
        text = without_markup(text)
        self._refusals.append(text)
        return text


@dataclass(frozen=True)
class EnvironmentFactory:
    """Makes environments over one folder of trees; picklable, for TRL's `environment_factory`."""

    trees: TreeStore
    answerer: ClipAnswerer = field(default_factory=LineAnswerer)

    def __call__(self) -> NavigationEnvironment:
        return NavigationEnvironment(self.trees, self.answerer)


def _short(path: SegmentPath) -> str:
    return format_path(path) if all(-10_000 < child < 10_000 for child in path) else "with such large numbers"
