"""How many frames a segment gets, how large, and at which JPEG quality."""

from dataclasses import asdict, dataclass
from typing import Any

from navigation import InputError


@dataclass(frozen=True, slots=True)
class FrameRecipe:
    """Frames by level, counted from the leaves up; levels above take the last entry.

    The defaults are LongVideo-R1's: 32 frames a leaf, 64 medium, 128 high, long side 512/√(1, 2, 4) px. Frames are
    never enlarged.

    Args:
        frames: Frames a segment.
        sides: Longest side in px, at least 16 (published minimum: 140).
        quality: JPEG quality, 1 to 95 (libjpeg's scale).
    """

    frames: tuple[int, ...] = (32, 64, 128)
    sides: tuple[int, ...] = (512, 362, 256)
    quality: int = 75

    def __post_init__(self) -> None:
        for name, least, most in (("frames", 1, 4096), ("sides", 16, 8192)):
            values = getattr(self, name)
            if not values or not all(type(value) is int and least <= value <= most for value in values):
                raise InputError(
                    "frame recipe", name, values, f"give whole numbers between {least} and {most}, leaf first"
                )
        if type(self.quality) is not int or not 1 <= self.quality <= 95:
            raise InputError("frame recipe", "quality", self.quality, "give a whole number between 1 and 95")

    def count(self, level: int, depth: int) -> int:
        """Frames of a segment of 1-based `level` in a tree of `depth` levels."""
        return self.frames[min(depth - level, len(self.frames) - 1)]

    def side(self, level: int, depth: int) -> int:
        """Longest side of those frames in px."""
        return self.sides[min(depth - level, len(self.sides) - 1)]

    def to_dict(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
