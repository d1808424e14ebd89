"""Everything that decides what a caption says, the prompt files included: equal settings, equal captions."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from data_gen.frames import FrameRecipe
from data_gen.lines.settings import LineSettings
from navigation import InputError, TimeGrid

PROMPTS = Path(__file__).parents[1] / "prompts"
_PLACES = {
    "caption_frames.txt": {"frame_count", "address", "start", "end", "duration", "times", "subtitles", "words"},
    "caption_children.txt": {"address", "start", "end", "duration", "children", "subtitles", "words"},
}


@dataclass(frozen=True, slots=True)
class Prompts:
    """Templates with `$name` places for captions from frames and from the parts' captions."""

    frames: Template
    children: Template
    sha256: str

    @classmethod
    def load(cls, folder: str | Path = PROMPTS) -> "Prompts":
        """Reads both files.

        Raises:
            InputError: a file is missing or has a place that nothing fills.
        """
        texts = []
        for name, places in _PLACES.items():
            path = Path(folder) / name
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(path, "prompt", str(error), "put a readable prompt file there") from None
            template = Template(text)
            unknown = sorted(set(template.get_identifiers()) - places)
            if unknown or not template.is_valid():
                hint = f"use only these places, and $$ for a dollar sign: {', '.join(sorted(places))}"
                raise InputError(path, "places", unknown, hint)
            texts.append(text)
        digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
        return cls(Template(texts[0]), Template(texts[1]), digest)


LINES = "lines"
CAPTIONERS = ("endpoint", "subtitles", "annotations", LINES)
STRATEGIES = ("frames", "bottom_up")


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """Settings of a caption run.

    Args:
        captioner: `endpoint` (a vision model), `lines` (of any source; leaves are the lines, parents are chosen from
            them or summed up by the model), `subtitles` (those alone) or `annotations`.
        model: Name of the endpoint's model; may be empty with `lines`.
        strategy: `frames`: every level from frames, as LongVideo-R1 published; `bottom_up`: leaves from frames, parents
            from their parts' captions. Of no effect without an endpoint.
        recipe: Frames of a segment.
        words: Word limits by level, leaves first; levels above take the last.
        use_subtitles: Whether prompts hold the segment's subtitles.
        lines: Where the timed texts come from.
        minimum_width, depth: Shape of the tree, as in `TimeGrid.for_duration`.
        max_tokens, temperature: Of a completion.
        prompts: Folder with `caption_frames.txt` and `caption_children.txt`.
        accept_damaged: Caption what can be decoded of videos that are cut short or broken. No part of the comparison on
            resuming: it decides which videos are captioned, not what a caption says.
    """

    captioner: str = "endpoint"
    model: str = ""
    strategy: str = "frames"
    recipe: FrameRecipe = field(default_factory=FrameRecipe)
    words: tuple[int, ...] = (80, 120, 160)
    use_subtitles: bool = True
    lines: LineSettings = field(default_factory=LineSettings)
    minimum_width: int = 4
    depth: int | str = 3
    max_tokens: int = 1024
    temperature: float = 0.0
    prompts: Path = PROMPTS
    accept_damaged: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (("captioner", self.captioner, CAPTIONERS), ("strategy", self.strategy, STRATEGIES)):
            if value not in known:
                raise InputError("captions", name, value, f"give one of {', '.join(known)}")
        if self.captioner == "endpoint" and not self.model:
            raise InputError("captions", "model", self.model, "give the name of the model that the endpoint serves")
        if not self.words or not all(type(limit) is int and limit >= 1 for limit in self.words):
            raise InputError("captions", "words", self.words, "give word limits of at least 1, leaves first")
        if self.depth != "auto" and (type(self.depth) is not int or self.depth < 1):
            raise InputError("captions", "depth", self.depth, "give a whole number of at least 1, or auto")

    def word_limit(self, level: int, depth: int) -> int:
        """Words of a caption on a 1-based level."""
        return self.words[min(depth - level, len(self.words) - 1)]

    def grid(self, duration: float) -> TimeGrid:
        return TimeGrid.for_duration(duration, self.minimum_width, self.depth)

    def to_dict(self) -> dict[str, Any]:
        """What goes into `made_by` and is compared on resuming; nothing that has no effect on the captions."""
        record: dict[str, Any] = {
            "captioner": self.captioner,
            "words": list(self.words),
            "minimum_width": self.minimum_width,
            "depth": self.depth,
        }
        if self.captioner == LINES and self.model:
            names = ("model", "max_tokens", "temperature")
            record |= {name: getattr(self, name) for name in names}
            record["prompt_sha256"] = Prompts.load(self.prompts).sha256
        if self.captioner == "endpoint":
            record |= {
                "model": self.model,
                "strategy": self.strategy,
                "frames": self.recipe.to_dict(),
                "use_subtitles": self.use_subtitles,
                "max_tokens": self.max_tokens,
                "temperature": self.temperature,
                "prompt_sha256": Prompts.load(self.prompts).sha256,
            }
        if self.captioner != "annotations" and (self.captioner != "endpoint" or self.use_subtitles):
            record |= self.lines.to_dict()
        return record
