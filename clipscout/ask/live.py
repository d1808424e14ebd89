"""A walk in the terminal while it happens: the tree as bars over time, the current segment, the reasoning, the cost."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from clipscout.tree import plain
from navigation import VIDEO_QA, TimeGrid
from navigation.grid import clock, format_path

_LONGEST = 400


class LiveWalk:
    """Draws events in place on a terminal; prints one line a visit elsewhere. Its `tell` takes the events of `ask`.

    Everything that comes from a model, a caption or a file passes `plain`: no escape sequence of theirs is obeyed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._grid: TimeGrid | None = None
        self._opened: list[tuple[int, ...]] = []
        self._asked: set[tuple[int, ...]] = set()
        self._current: tuple[int, ...] | None = None
        self._head, self._said, self._doing = "", "", ""
        self._turns = self._visits = self._refused = self._prompt = self._completion = 0

    def __enter__(self) -> "LiveWalk":
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=8, transient=True, get_renderable=self._render)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, event: Mapping[str, Any]) -> None:
        """Takes an event, from any thread."""
        getattr(self, f"_on_{event['type']}", lambda event: None)(event)

    def _on_begin(self, event: Mapping[str, Any]) -> None:
        self._grid = TimeGrid(event["duration"], event["width"], event["depth"])
        self._head = plain(event["question"])
        self._doing = "captioning the top level"

    def _on_thinking(self, event: Mapping[str, Any]) -> None:
        self._doing = f"turn {event['turn']}: thinking"

    def _on_turn(self, event: Mapping[str, Any]) -> None:
        self._turns = event["turn"]
        self._prompt += event["prompt_tokens"]
        self._completion += event["completion_tokens"]
        self._said = plain(event["reasoning"])[-_LONGEST:]
        if self._live is None and self._said:
            self.console.print(Text(f"  {self._said}", style="dim"))

    def _on_opening(self, event: Mapping[str, Any]) -> None:
        path = tuple(event["path"] or ())
        self._current = path if self._grid is not None and path and self._grid.contains(path) else None
        what = "looking into" if event["tool"] == VIDEO_QA else "opening"
        self._doing = f"{what} {format_path(path)}" if path else what

    def _on_opened(self, event: Mapping[str, Any]) -> None:
        self._visits += 1
        path = tuple(event["path"])
        self._opened.append(path)
        if event["tool"] == VIDEO_QA:
            self._asked.add(path)
        if self._live is None:
            what = f" asked: {plain(event.get('query') or '')}" if event["tool"] == VIDEO_QA else ""
            self.console.print(Text(f"{self._visits:3}. {format_path(path)}{what}  {plain(event['reply'])[:_LONGEST]}"))

    def _on_refused(self, event: Mapping[str, Any]) -> None:
        self._refused += 1
        if self._live is None:
            self.console.print(Text(f"     {plain(event['reply'])[:_LONGEST]}", style="red"))

    def _render(self) -> RenderableType:
        if self._grid is None:
            return Text("opening the video …", style="dim")
        refused = f", {self._refused} refused" if self._refused else ""
        cost = f"{self._visits} visits{refused}, {self._turns} turns, {self._prompt} + {self._completion} tokens"
        rows = [
            bar(self._grid, level, self._opened, self._asked, self._current, self._width())
            for level in range(1, self._grid.depth + 1)
        ]
        ends = Text(f"{'':8}{clock(0):<{max(1, self._width() - 8)}}{clock(self._grid.duration):>8}", style="dim")
        lines: list[RenderableType] = [*rows, ends, Text(self._doing, style="cyan")]
        if self._said:
            lines.append(Text(self._said, style="italic"))
        return Panel(Group(*lines), title=Text(self._head[:120]), subtitle=Text(cost), title_align="left")

    def _width(self) -> int:
        return max(10, min(100, self.console.width - 14))


def bar(
    grid: TimeGrid, level: int, opened: list[tuple[int, ...]], asked: set[tuple[int, ...]],
    current: tuple[int, ...] | None, width: int,
) -> Text:  # fmt: skip
    """One level over time: `·` closed, `█` opened, `?` asked about, `▶` now."""
    cells = ["·"] * width
    for path in opened:
        if len(path) == level:
            _fill(cells, grid, path, "?" if path in asked else "█")
    if current is not None and len(current) == level:
        _fill(cells, grid, current, "▶")
    styles = {"█": "green", "?": "magenta", "▶": "bold yellow", "·": "dim"}
    text = Text(f"{'leaf' if level == grid.depth else f'level {level}':<8}")
    for cell in cells:
        text.append(cell, styles[cell])
    return text


def _fill(cells: list[str], grid: TimeGrid, path: tuple[int, ...], sign: str) -> None:
    start, end = grid.interval(path)
    first = min(int(start / grid.duration * len(cells)), len(cells) - 1)
    last = max(first + 1, round(end / grid.duration * len(cells)))
    for place in range(first, min(last, len(cells))):
        cells[place] = sign
