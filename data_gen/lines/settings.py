"""Where a video's lines come from."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Settings of the lines of a run.

    Args:
        subtitle_language: Which subtitles to read, as `en`; "" lets the files and the sound decide.
    """

    subtitle_language: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults: runs of before had no other."""
        return {"subtitle_language": self.subtitle_language} if self.subtitle_language else {}
