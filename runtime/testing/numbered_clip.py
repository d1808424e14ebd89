"""Small videos whose pixels carry the frame number, to prove which frame was delivered."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

COLUMNS, ROWS = 8, 2
"""16 blocks, black for 0 and white for 1, the lowest bit first: large enough to survive any encoder."""


def numbered_image(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """uint8 [height, width, 3] that shows a number below 65,536."""
    bits = np.array([number >> bit & 1 for bit in range(COLUMNS * ROWS)], dtype=np.uint8).reshape(ROWS, COLUMNS)
    gray = np.kron(bits * 255, np.ones((height // ROWS, width // COLUMNS), dtype=np.uint8))
    return np.repeat(gray[:, :, None], 3, axis=2)


def read_number(jpeg: bytes, turned: int = 0) -> int:
    """The number a JPEG shows. `turned`: degrees counterclockwise by which the image was turned."""
    image = Image.open(io.BytesIO(jpeg)).convert("L").rotate(-turned, expand=True)
    height, width = image.height // ROWS, image.width // COLUMNS
    pixels = np.asarray(image)
    bits = [
        pixels[height // 2 + row * height, width // 2 + column * width] > 127
        for row in range(ROWS)
        for column in range(COLUMNS)
    ]
    return sum(1 << place for place, bit in enumerate(bits) if bit)


def write_numbered_clip(
    path: str | Path,
    ticks: Sequence[int],
    time_base: Fraction = Fraction(1, 1000),
    width: int = 160,
    height: int = 96,
    codec: str = "libx264",
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> None:
    """Writes one frame for each tick, the frame at `ticks[n]` showing `n`; uneven ticks make a variable frame rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        assert isinstance(stream, av.VideoStream), codec
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = 50
        if rotation:
            stream.set_display_rotation(rotation)
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(numbered_image(number, width, height), format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
