"""An answer in the terminal: the text, its evidence with frames, the price, and the price of reading everything."""

import io
from pathlib import Path

from PIL import Image
from rich import box
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from clipscout.ask.answer import Answer, Evidence
from clipscout.ask.subject import Subject
from clipscout.tree import plain
from navigation import InputError, Status
from navigation.files import id_to_name
from navigation.grid import clock, format_path

_COLUMNS = 28
_MOST_PICTURED = 3


async def tell_answer(console: Console, subject: Subject, answer: Answer, frames: Path | None) -> None:
    """Prints an answer.

    Args:
        frames: Folder to write the evidence's frames to; None shows them in the terminal alone.
    """
    if answer.status == Status.ANSWERED:
        console.print(Text.assemble(("Answer  ", "bold green"), plain(answer.text or "")))
    else:
        why = plain(answer.error) if answer.error else "the walk ended without an answer"
        console.print(Text.assemble(("No answer  ", "bold red"), f"{answer.status.replace('_', ' ')}: {why}"))
    if answer.evidence:
        console.print(_table(answer.evidence))
    for evidence in _pictured(answer):
        try:
            found = await subject.thumbnails(evidence.path)
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
        told = Text(plain(each.caption)[:300])
        for query, reply in each.asked:
            told.append(f"\nasked: {plain(query)[:200]}\n", "magenta").append(plain(reply)[:300])
        table.add_row(Text(format_path(each.path)), Text(_span(each.start, each.end)), told)
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
                    above, below = image.getpixel((x, y)), image.getpixel((x, y + 1))
                    text.append("▀", Style(color=_hex(above), bgcolor=_hex(below)))
                else:
                    text.append(" ")
            text.append(" ")
        text.append("\n")
    return text


def _hex(pixel: tuple[int, int, int]) -> str:
    return "#" + bytes(pixel).hex()
