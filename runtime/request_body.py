"""Request bodies: how fields are written for servers that take others than most, and images that are never copied."""

import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from navigation import InputError

_PIECE = 48 * 1024  # divisible by 3, so that the pieces' base64 joins without padding
_PREFIX = b"data:image/jpeg;base64,"


class RequestBody:
    """The JSON of `body`, in which every `bytes` value (a JPEG) stands as a base64 data URL.

    64 requests of 32 frames hold 1.0 times their JPEGs in memory, not the 3.7 times of text, JSON and encoded bytes.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        images: list[bytes] = []
        # Drawn anew, so that no text from outside can hold it and be taken for an image.
        marker = f"jpeg-{secrets.token_hex(16)}"

        def place(value: object) -> str:
            if not isinstance(value, bytes):
                raise TypeError(f"{type(value).__name__} cannot be sent as JSON")
            images.append(value)
            return marker

        pieces = json.dumps(body, ensure_ascii=False, default=place).split(marker)
        self._texts = [piece.encode("utf-8", "replace") for piece in pieces]
        self._images = images
        self.image_count = len(images)

    @property
    def prompt_tokens(self) -> int:
        """An estimate: 4 bytes a token of text, and a token for 28 x 28 pixels of an image, as Qwen2.5-VL counts."""
        return sum(map(len, self._texts)) // 4 + sum(map(_image_tokens, self._images))

    def __len__(self) -> int:
        """Bytes on the wire."""
        urls = sum(len(_PREFIX) + 4 * -(-len(image) // 3) for image in self._images)
        return sum(map(len, self._texts)) + urls

    @property
    def content(self) -> bytes | AsyncIterator[bytes]:
        """What is sent: in pieces, or at once if there are no images."""
        return self.stream() if self._images else self._texts[0]

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in pieces; can be called again for another attempt."""
        for index, text in enumerate(self._texts):
            yield text
            if index < len(self._images):
                yield _PREFIX
                image = memoryview(self._images[index])
                for start in range(0, len(image), _PIECE):
                    yield base64.b64encode(image[start : start + _PIECE])


def _image_tokens(jpeg: bytes) -> int:
    """Reads the size in a JPEG's start-of-frame marker; 300 tokens where there is none."""
    place = 2
    while place + 9 <= len(jpeg) and jpeg[place] == 0xFF:
        marker, length = jpeg[place + 1], int.from_bytes(jpeg[place + 2 : place + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = int.from_bytes(jpeg[place + 5 : place + 7]), int.from_bytes(jpeg[place + 7 : place + 9])
            return max(1, -(-height // 28) * -(-width // 28))
        place += 2 + length
    return 300


ROOM, OTHER_ROOM = "max_tokens", "max_completion_tokens"
_KEPT = ("model", "messages", "tools")
_REFUSING = re.compile(
    r"support|unknown|unrecogni[sz]ed|unexpected|extra|permitted|not allowed|invalid|only the default|deprecated|"
    r"does not exist|no such|should not|cannot"
)


@dataclass(frozen=True, slots=True)
class BodyOptions:
    """What a request's body holds besides model, messages and tools.

    Args:
        names: Another name for a field (`max_tokens: max_completion_tokens`), or None to leave it out.
        stream: Whether the reply is asked for as a stream, for servers that know no other.
        extra: Further fields, sent as they are.
    """

    names: Mapping[str, str | None] = field(default_factory=dict)
    stream: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, text: str) -> "BodyOptions":
        """Those of a preset by name, or of a YAML file of `{preset, names, stream, extra}`.

        Raises:
            InputError: neither a preset nor a readable file, an unknown key, or a value that is none.
        """
        if not text:
            return cls()
        if text in PRESETS:
            return PRESETS[text]
        hint = f"give one of {', '.join(PRESETS)}, or a YAML file of preset, names, stream and extra"
        try:
            record = yaml.safe_load(Path(text).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            raise InputError("request", "file", text, hint) from None
        if not isinstance(record, dict):
            raise InputError(text, "file", record, hint)
        for key in record:
            if key not in ("preset", "names", "stream", "extra"):
                raise InputError(text, str(key), record[key], hint)
        if record.get("preset", "default") not in PRESETS:
            raise InputError(text, "preset", record["preset"], hint)
        base = PRESETS[record.get("preset", "default")]
        names, extra, stream = record.get("names", {}), record.get("extra", {}), record.get("stream", base.stream)
        if not isinstance(names, dict) or not all(isinstance(new, str | None) for new in names.values()):
            raise InputError(text, "names", names, "give another name for a field, or null to leave it out")
        if taken := next((name for name in _KEPT if name in names or name in (extra or {})), None):
            raise InputError(text, taken, None, "these fields are written by the run: leave them out here")
        if not isinstance(extra, dict):
            raise InputError(text, "extra", extra, "give a mapping of fields")
        if not isinstance(stream, bool):
            raise InputError(text, "stream", stream, "give true or false")
        return cls({**base.names, **names}, stream, {**base.extra, **extra})

    def body(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The request's fields as this server takes them."""
        named = {self.names.get(name, name): value for name, value in fields.items()}
        body = {name: value for name, value in named.items() if name is not None}
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return {**body, **self.extra}

    def without_refused(self, told: str) -> tuple["BodyOptions", str] | None:
        """Options that avoid what a server's refusal names, and that in words; None if it names nothing of ours.

        Args:
            told: The error's text and the field it names.
        """
        told = told.lower()
        if not _REFUSING.search(told):
            return None
        room, other = self.names.get(ROOM, ROOM), OTHER_ROOM
        if room == OTHER_ROOM:
            other = ROOM
        if room is not None and re.search(rf"\b{room}\b", told):
            return replace(self, names={**self.names, ROOM: other}), f"`{room}` is sent as `{other}`"
        for name in ("temperature", "seed", "response_format"):
            sent = self.names.get(name, name)
            if sent is not None and re.search(rf"\b{sent}\b", told):
                return replace(self, names={**self.names, name: None}), f"`{sent}` is left out"
        return None


PRESETS = {
    "default": BodyOptions(),
    "openai-reasoning": BodyOptions({ROOM: OTHER_ROOM, "temperature": None, "seed": None}),
    "vllm": BodyOptions(),
    "sglang": BodyOptions(),
    "gemini": BodyOptions({"seed": None}),
    "mistral": BodyOptions({"seed": "random_seed"}),
}
