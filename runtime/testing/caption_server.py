"""A stand-in for a vision model: an OpenAI-compatible server that answers from the pixels it received.

It understands nothing. It says how many frames came, how large they were and which colours they had, so that a run
can be tried, tested and measured without a model:

    python -m runtime.testing.caption_server --port 8099 --latency 0.1 --faults 0.1

Equal requests get equal captions. `GET /stats` tells what it was asked.
"""

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from PIL import Image

from runtime.testing.chat_server import Answer, ChatServer, command_parser, serve

PATCH = 28
"""Side of the square of pixels that counts as one image token, as in Qwen2.5-VL."""


class CaptionServer(ChatServer):
    """Captions whatever it is sent.

    Args:
        look: Frames of a request whose pixels are read; the others are counted only.
        options: See `ChatServer`.
    """

    def __init__(self, look: int = 1000, **options: Any) -> None:
        self.look = look
        super().__init__(self._answer, **options)

    async def _answer(self, request: dict[str, Any], body: bytes) -> Answer:
        texts, images = _contents(request)
        caption = describe(texts, images, self.look)
        return Answer(caption, _usage(caption, texts, images), len(images), "\n".join(texts))


def _contents(request: dict[str, Any]) -> tuple[list[str], list[bytes]]:
    """Texts and JPEGs of all messages."""
    texts: list[str] = []
    images: list[bytes] = []
    for message in request["messages"]:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
            continue
        for part in content:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                images.append(base64.b64decode(part["image_url"]["url"].partition(",")[2], validate=True))
    return texts, images


def describe(texts: list[str], images: list[bytes], look: int = 1000) -> str:
    """A caption that any change of the request's frames or texts changes."""
    mark = hashlib.sha256("\0".join(texts).encode() + b"".join(images)).hexdigest()[:8]
    if not images:
        words = sum(len(text.split()) for text in texts)
        return f"Stub caption {mark} from a prompt of {words} words and no frames."
    sizes = Counter(Image.open(io.BytesIO(image)).size for image in images)
    shown = ", ".join(f"{count} of {width}x{height}" for (width, height), count in sorted(sizes.items()))
    colours = [_mean_colour(image) for image in images[:look]]
    ends = f" First and last frame have the mean colours {colours[0]} and {colours[-1]}." if colours else ""
    return f"Stub caption {mark} from pixels, not from understanding: {len(images)} frames, {shown}.{ends}"


def _mean_colour(jpeg: bytes) -> str:
    image = Image.open(io.BytesIO(jpeg))
    image.draft("RGB", (32, 32))
    return "#" + image.convert("RGB").resize((1, 1), Image.Resampling.BOX).tobytes().hex()


def _usage(caption: str, texts: list[str], images: list[bytes]) -> dict[str, Any]:
    sizes = [Image.open(io.BytesIO(image)).size for image in images]
    image_tokens = sum(-(-width // PATCH) * -(-height // PATCH) for width, height in sizes)
    return {
        "prompt_tokens": image_tokens + sum(len(text) for text in texts) // 4,
        "completion_tokens": len(caption) // 4,
        "prompt_tokens_details": {"image_tokens": image_tokens},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_parser(__doc__ or "", hang=5.0)
    parser.add_argument("--look", type=int, default=1000, help="frames of a request whose pixels are read")
    options = parser.parse_args(arguments)
    server = CaptionServer(
        options.look, latency=options.latency, faults=options.faults, hang=options.hang, seed=options.seed
    )
    serve(server, options.port, "stub at {address}: answers from pixels, not from understanding")


if __name__ == "__main__":
    main()
