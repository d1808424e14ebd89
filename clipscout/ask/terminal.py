"""An episode and its answer in the terminal: the tree as bars over time while it happens, then evidence and price."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.style import Style
from rich.table import Table
from rich.text import Text

from clipscout.ask.answer import Answer, Evidence
from clipscout.ask.video_source import VideoSource
from clipscout.tree import plain
from navigation import JUMP, SEARCH, VIDEO_QA, InputError, SegmentPath, Status, TimeGrid
from navigation.files import id_to_name
from navigation.grid import clock, format_path

_LONGEST = 400
_COLUMNS = 28
_MOST_PICTURED = 3


class LiveEpisode:
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
        self._turns = self._visits = self._lookups = self._refused = self._prompt = self._completion = 0

    def __enter__(self) -> "LiveEpisode":
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
        what = {VIDEO_QA: "looking into", SEARCH: "searching", JUMP: "looking up a time"}.get(event["tool"], "opening")
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

    def _on_found(self, event: Mapping[str, Any]) -> None:
        self._lookups += 1
        if self._live is None:
            self.console.print(Text(f"     {event['tool']} {plain(event['query'])}", style="cyan"))
            for line in plain(event["reply"]).splitlines():
                self.console.print(Text(f"       {line[:_LONGEST]}", style="dim"))

    def _on_refused(self, event: Mapping[str, Any]) -> None:
        self._refused += 1
        if self._live is None:
            self.console.print(Text(f"     {plain(event['reply'])[:_LONGEST]}", style="red"))

    def _render(self) -> RenderableType:
        if self._grid is None:
            return Text("opening the video …", style="dim")
        refused = f", {self._refused} refused" if self._refused else ""
        refused += f", {self._lookups} lookups" if self._lookups else ""
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
    grid: TimeGrid,
    level: int,
    opened: list[SegmentPath],
    asked: set[SegmentPath],
    current: SegmentPath | None,
    width: int,
) -> Text:
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


async def print_answer(console: Console, source: VideoSource, answer: Answer, frames: Path | None) -> None:
    """Prints an answer.

    Args:
        frames: Folder to write the evidence's frames to; None shows them in the terminal alone.
    """
    if answer.status == Status.ANSWERED:
        console.print(Text.assemble(("Answer  ", "bold green"), plain(answer.text or "")))
    else:
        why = plain(answer.error) if answer.error else "the episode ended without an answer"
        console.print(Text.assemble(("No answer  ", "bold red"), f"{answer.status.replace('_', ' ')}: {why}"))
    if answer.evidence:
        console.print(_table(answer.evidence))
    for evidence in _pictured(answer):
        try:
            found = await source.thumbnails(evidence.path)
        except InputError as error:
            console.print(Text(f"no frames of {format_path(evidence.path)}: {plain(str(error))}", style="yellow"))
            continue
        if found is None:
            break
        if frames is not None:
            for time, jpeg in zip(found.shown, found.jpegs, strict=True):
                path = frames / f"{id_to_name(answer.video)}-{time:08.2f}s.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(jpeg)
                console.print(Text(str(path), style="dim"))
        if console.is_terminal and console.color_system:
            console.print(Text(f"{format_path(evidence.path)} at {', '.join(map(clock, found.shown))}", style="dim"))
            console.print(strip(found.jpegs, max(1, console.width // (_COLUMNS + 1))))
    for line in cost_lines(answer):
        console.print(Text(line, style="dim"))


def _table(evidence: list[Evidence]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="What was read", title_justify="left")
    for name in ("segment", "time", "caption"):
        table.add_column(name)
    for each in evidence:
        cell = Text(plain(each.caption)[:300])
        for query, reply in each.asked:
            cell.append(f"\nasked: {plain(query)[:200]}\n", "magenta").append(plain(reply)[:300])
        table.add_row(Text(format_path(each.path)), Text(_span(each.start, each.end)), cell)
    return table


def _span(start: float, end: float) -> str:
    """To the tenth where a segment lasts less than two seconds."""
    if end - start >= 2:
        return f"{clock(start)}-{clock(end)}"
    return "-".join(f"{clock(time)}.{int(10 * time) % 10}" for time in (start, end))


def _pictured(answer: Answer) -> list[Evidence]:
    """The finest segments, the last ones read."""
    if not answer.evidence:
        return []
    deepest = max(len(each.path) for each in answer.evidence)
    asked = [each for each in answer.evidence if each.asked]
    return (asked or [each for each in answer.evidence if len(each.path) == deepest])[-_MOST_PICTURED:]


def cost_lines(answer: Answer) -> list[str]:
    """The price in words."""
    cost, vision = answer.cost, answer.cost.vision
    parts = [f"{cost.visits} visits ({cost.visit_units:g} units) in a tree of {cost.segments} segments"]
    if cost.prompt_tokens or cost.completion_tokens:
        parts.append(f"policy {cost.prompt_tokens} + {cost.completion_tokens} tokens")
    if vision.get("requests"):
        tokens = f"{vision.get('prompt_tokens', 0):.0f} + {vision.get('completion_tokens', 0):.0f} tokens"
        parts.append(f"vision {vision['requests']:.0f} requests, {vision.get('images', 0):.0f} frames, {tokens}")
    if cost.usd:
        parts.append(f"{cost.usd:.4f} USD")
    parts.append(f"{cost.seconds:.1f} s")
    everything = cost.exhaustive
    whole = f"{everything['visits']} visits, about {everything['prompt_tokens']} tokens of captions"
    if everything["captions_to_make"]:
        whole += f", {everything['captions_to_make']} captions still to be written"
    return [f"Cost: {'; '.join(parts)}.", f"Reading every leaf: {whole}."]


def strip(jpegs: list[bytes], most: int) -> Text:
    """Pictures side by side in half blocks: each character shows two pixels, one above the other."""
    images = []
    for jpeg in jpegs[:most]:
        image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        height = max(2, round(_COLUMNS * image.height / image.width / 2) * 2)
        images.append(image.resize((_COLUMNS, height)))
    text = Text()
    for y in range(0, max(image.height for image in images) - 1, 2):
        for image in images:
            for x in range(_COLUMNS):
                if y + 1 < image.height:
                    above, below = _hex(image, x, y), _hex(image, x, y + 1)
                    text.append("▀", Style(color=above, bgcolor=below))
                else:
                    text.append(" ")
            text.append(" ")
        text.append("\n")
    return text


def _hex(image: Image.Image, x: int, y: int) -> str:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return "#" + bytes(pixel).hex()
