"""The world that every stage shares: a question, a caption tree, its tools and a record of what was done with them."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from navigation.caption_tree import CaptionTree, TreeStore
from navigation.errors import InputError, is_number
from navigation.grid import SegmentPath, clock, format_path
from navigation.prompt import caption_line, without_markup
from navigation.search import LONGEST_QUERY, Search, SearchSettings
from navigation.times import read_time
from navigation.tools import (
    DEFAULT_TOOLS,
    GET_CAPTION,
    JUMP,
    SEARCH,
    TOOL_NAMES,
    VIDEO_QA,
    ClipAnswerer,
    LineAnswerer,
    parse_path,
    read_tools,
)
from navigation.trajectory import Lookup, Visit


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
        self._lookups: list[Lookup] = []
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
        self._tree, self._visits, self._lookups, self._refusals, self._read = None, [], [], [], set()
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
    def lookups(self) -> list[Lookup]:
        """Searches and jumps of the current episode in order."""
        return list(self._lookups)

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that an episode here has."""
        return DEFAULT_TOOLS

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


class SearchEnvironment(NavigationEnvironment):
    """An environment whose policy can also look words and times up. Which segments to open is still its own choice.

    Args:
        trees: Where caption trees come from.
        answerer: Who answers `video_qa`; default: the tree's own timed lines.
        tools: Which of the tools an episode has; `environment_class` hides the others from trl.
        search: What answers a search.
    """

    def __init__(
        self,
        trees: TreeStore,
        answerer: ClipAnswerer | None = None,
        tools: tuple[str, ...] = TOOL_NAMES,
        search: Search | None = None,
    ) -> None:
        super().__init__(trees, answerer)
        self._tools, self._search = tools, search or Search()

    @property
    def tools(self) -> tuple[str, ...]:
        return self._tools

    # None is no type of `within`: as one it would put "nullable" into the schema, which is not OpenAI's.
    def search(self, query: str, within: list[int] = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
        """
        Find segments by words. Each line of the reply is a text that matches, then its segment and time.

        Args:
            query: Words to look for.
            within: Address of the segment to look in, for example [2]; leave it out to look everywhere.
        """
        if not isinstance(query, str) or not query.strip():
            return self._refuse("Error: search needs a query: give words to look for.")
        if len(query) > LONGEST_QUERY:
            return self._refuse(f"Error: a query has at most {LONGEST_QUERY} characters: give fewer words.")
        path: SegmentPath = ()
        if within not in (None, [], (), ""):
            address, refusal = self._address(within)
            if address is None:
                return self._refuse(refusal)
            path = address
        reply = self._search.reply(self.tree, query, path)
        self._lookups.append(Lookup(SEARCH, query, path))
        return reply

    def jump(self, time: str) -> str:
        """
        Find the segment of the last level that holds a time.

        Args:
            time: Time in the video, for example 12:30 or 1:02:30.
        """
        grid, seconds = self.tree.grid, None
        if is_number(time):
            seconds = float(time)
        elif isinstance(time, str) and len(time) <= 40:
            seconds = read_time(time)
        if seconds is None:
            return self._refuse("Error: jump needs a time, for example 12:30 or 1:02:30.")
        if not 0 <= seconds <= grid.duration:
            return self._refuse(f"Error: the video lasts {clock(grid.duration)}: give a time in it.")
        path = grid.path_at(seconds)
        start, end = grid.interval(path)
        self._lookups.append(Lookup(JUMP, str(time)))
        return f"{clock(seconds)} is in {format_path(path)} {clock(start)}-{clock(end)}"


@cache
def environment_class(tools: tuple[str, ...]) -> type[NavigationEnvironment]:
    """The environment whose public methods are these tools: trl lists the functions of a class."""
    if tools == DEFAULT_TOOLS:
        return NavigationEnvironment
    hidden: dict[str, Any] = {name: None for name in TOOL_NAMES if name not in tools}
    return type("SearchEnvironment", (SearchEnvironment,), {**hidden, "__module__": __name__, "__reduce__": _reduce})


def _reduce(self: NavigationEnvironment) -> tuple[Any, ...]:
    return _made_again, (self.tools,), vars(self)


def _made_again(tools: tuple[str, ...]) -> NavigationEnvironment:
    """An environment without its state, for pickle and copy: its class has no name of its own."""
    kind = environment_class(tools)
    return kind.__new__(kind)


@dataclass(frozen=True)
class EnvironmentFactory:
    """Makes environments over one folder of trees; picklable, for TRL's `environment_factory`.

    Args:
        trees: Where caption trees come from.
        answerer: Who answers `video_qa`.
        tools: What an episode has, as `read_tools` gives them.
        search: What answers a search; shared by the environments, with its indices.
    """

    trees: TreeStore
    answerer: ClipAnswerer = field(default_factory=LineAnswerer)
    tools: tuple[str, ...] = DEFAULT_TOOLS
    search: Search = field(default_factory=Search, compare=False)

    @classmethod
    def of(
        cls,
        trees: TreeStore,
        answerer: ClipAnswerer | None = None,
        tools: object = DEFAULT_TOOLS,
        search: SearchSettings | None = None,
    ) -> "EnvironmentFactory":
        """A factory of what a config holds.

        Raises:
            InputError: tools that `read_tools` refuses, or an embedder that cannot be had.
        """
        folder, chosen = trees.folder if isinstance(trees, TreeStore) else None, read_tools(tools)
        search_here = Search(search or SearchSettings(), folder=folder)
        if SEARCH in chosen:
            search_here.prepare()
        return cls(trees, answerer or LineAnswerer(), chosen, search_here)

    def __call__(self) -> NavigationEnvironment:
        if self.tools == DEFAULT_TOOLS:
            return NavigationEnvironment(self.trees, self.answerer)
        kind: Any = environment_class(self.tools)
        return kind(self.trees, self.answerer, self.tools, self.search)


def _short(path: SegmentPath) -> str:
    return format_path(path) if all(-10_000 < child < 10_000 for child in path) else "with such large numbers"
