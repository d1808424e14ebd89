"""The prompt files, and what stands in their places."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from string import Template

from navigation import InputError

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
                mend = f"use only these places, and $$ for a dollar sign: {', '.join(sorted(places))}"
                raise InputError(path, "places", unknown, mend)
            texts.append(text)
        digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
        return cls(Template(texts[0]), Template(texts[1]), digest)
