"""What calls would take and cost on a stated set of models: the ruler that makes strategies comparable on any machine.

Papers state latency as calls times a time per call. The same is done here, with every number in sight: a run's card
holds the model it was measured with. The defaults are round figures for orientation, not measurements; measure your own
servers and pass them with `--cost-model FILE.yaml`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from navigation import InputError
from navigation.errors import is_number
from runtime.budget import PriceTable, Usage

CHARACTERS_A_TOKEN = 4
"""The usual estimate for English; the same for every strategy."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds a call, and prices by model name from the price table.

    Args:
        language_model: Who reads captions and decides.
        vision_model: Who captions segments and answers `video_qa`.
        language_seconds, caption_seconds, video_qa_seconds: Of one call.
        frames: Frames the captioner sees by level, leaves first, where the tree does not say (LongVideo-R1's recipe).
        video_qa_frames: Frames of one `video_qa` call.
        frame_tokens: Prompt tokens of a frame.
        caption_tokens, turn_tokens: Completion tokens of a caption and of a turn whose writer counts none.
    """

    language_model: str = "gpt-4o-mini"
    vision_model: str = "gpt-4o-mini"
    language_seconds: float = 2.0
    caption_seconds: float = 3.0
    video_qa_seconds: float = 3.0
    frames: tuple[int, ...] = (32, 64, 128)
    video_qa_frames: int = 16
    frame_tokens: int = 300
    caption_tokens: int = 150
    turn_tokens: int = 100

    @classmethod
    def load(cls, path: str | Path) -> "CostModel":
        """Reads a YAML mapping of these names; what is left out keeps its default.

        Raises:
            InputError: no such file, an unknown name, or a value of the wrong kind.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise InputError(path, "cost model", str(error).splitlines()[0], "give a readable YAML file") from None
        if not isinstance(values, Mapping):
            raise InputError(path, "cost model", values, "give a mapping of names to values")
        known = {each.name: getattr(cls(), each.name) for each in fields(cls)}
        read: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise InputError(path, str(name), value, f"give one of {', '.join(known)}")
            read[name] = _checked(path, name, value, known[name])
        return cls(**read)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"frames": list(self.frames)}

    def frames_of(self, made_by: Mapping[str, Any], level: int, depth: int) -> int:
        """Frames behind the caption of a segment of 1-based `level`: as the tree says, else by this model."""
        recipe = made_by.get("frames")
        counts: Any = recipe.get("frames") if isinstance(recipe, Mapping) else recipe
        if isinstance(counts, int) and not isinstance(counts, bool):
            return counts
        if not (isinstance(counts, Sequence) and counts and all(type(count) is int for count in counts)):
            counts = self.frames
        return counts[min(depth - level, len(counts) - 1)]

    def language_usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        return self._usd(self.language_model, prompt_tokens, completion_tokens)

    def vision_usd(self, frames: float, calls: float) -> float:
        """Of `calls` captions or clip answers made from `frames` frames together."""
        return self._usd(self.vision_model, frames * self.frame_tokens, calls * self.caption_tokens)

    def _usd(self, model: str, prompt_tokens: float, completion_tokens: float) -> float:
        price = _prices().price(model)
        if price is None:
            raise InputError(_prices().path, "model", model, "add a price for this model, or name another")
        return price.usd(Usage(prompt_tokens=int(prompt_tokens), completion_tokens=int(completion_tokens)))


def _checked(path: str | Path, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, str):
        if isinstance(value, str) and value:
            return value
        raise InputError(path, name, value, "give a model's name")
    if isinstance(default, tuple):
        if isinstance(value, list) and value and all(type(count) is int and count > 0 for count in value):
            return tuple(value)
        raise InputError(path, name, value, "give a list of whole numbers, leaves first")
    if not is_number(value) or value < 0 or (isinstance(default, int) and not isinstance(value, int)):
        raise InputError(
            path, name, value, f"give {'a whole number' if isinstance(default, int) else 'seconds'}, 0 or more"
        )
    return type(default)(value)


_TABLE: list[PriceTable] = []


def _prices() -> PriceTable:
    if not _TABLE:
        _TABLE.append(PriceTable())
    return _TABLE[0]
