"""Decoded frames to JPEGs."""

import io
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from PIL import Image

_TURNS = {
    ((-1, 0), (0, 1)): Image.Transpose.FLIP_LEFT_RIGHT,
    ((1, 0), (0, -1)): Image.Transpose.FLIP_TOP_BOTTOM,
    ((-1, 0), (0, -1)): Image.Transpose.ROTATE_180,
    ((0, 1), (-1, 0)): Image.Transpose.ROTATE_270,
    ((0, -1), (1, 0)): Image.Transpose.ROTATE_90,
    ((0, 1), (1, 0)): Image.Transpose.TRANSPOSE,
    ((0, -1), (-1, 0)): Image.Transpose.TRANSVERSE,
}
"""Where a display matrix sends a step to the right and a step down, each as (right, down)."""
_MATRICES = {int(matrix): matrix for matrix in Colorspace}
_FULL_RANGE = int(ColorRange.JPEG)


class JpegMaker:
    """Makes JPEGs of one size and quality.

    The frame is scaled, converted to RGB by its own colour matrix and range (unmarked frames are BT.709 from 720 lines
    on, else BT.601), and turned as its display matrix says.

    Args:
        side: Longest side in px. Smaller frames stay as they are.
        quality: libjpeg's scale.
        pixel_aspect: Width of a pixel over its height.
    """

    def __init__(self, side: int, quality: int, pixel_aspect: float = 1.0) -> None:
        self.side, self.quality, self.pixel_aspect = side, quality, pixel_aspect
        # One each per size: they keep their tables as long as the sizes stay the same.
        self._scaler, self._converter = VideoReformatter(), VideoReformatter()

    def make(self, frame: av.VideoFrame) -> bytes:
        return self.encode(self.image(frame))

    def image(self, frame: av.VideoFrame) -> Image.Image:
        """The frame in its final size and orientation, mode RGBX."""
        width, height = frame.width * max(1.0, self.pixel_aspect), frame.height / min(1.0, self.pixel_aspect)
        scale = min(1.0, self.side / max(width, height))
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        matrix = _MATRICES.get(int(frame.colorspace))
        if matrix is None:
            matrix = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
        full = ColorRange.JPEG if int(frame.color_range) == _FULL_RANGE else ColorRange.MPEG
        if frame.interlaced_frame:
            # swscale converts these field by field, and its fast path then writes past the ends of rows.
            pixels = self._scaler.reformat(
                frame, width, height, "rgb0", matrix, None, Interpolation.AREA, full, threads=1
            )
        else:
            # Scaled as YUV and then converted, by the fast path for equal sizes: 2.6 times cheaper than both at once.
            # Four bytes a pixel, because Pillow takes such a buffer without copying it.
            scaled = self._scaler.reformat(
                frame, width, height, "yuv420p", matrix, matrix, Interpolation.AREA, full, ColorRange.MPEG, threads=1
            )
            pixels = self._converter.reformat(
                scaled, None, None, "rgb0", matrix, None, Interpolation.FAST_BILINEAR, ColorRange.MPEG, threads=1
            )
        plane = pixels.planes[0]
        # Pillow takes any buffer; its annotations know bytes only.
        image = Image.frombuffer("RGBX", (width, height), plane, "raw", "RGBX", plane.line_size, 1)  # type: ignore[arg-type]
        turn = orientation(frame)
        return image if turn is None else image.transpose(turn)

    def encode(self, image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self.quality)
        return buffer.getvalue()


def orientation(frame: av.VideoFrame) -> Image.Transpose | None:
    """How a frame is turned and mirrored to be shown; None as it is, and at angles that are not whole right ones.

    The display matrix (`libavutil/display.h`) sends (x, y) to (ax + cy, bx + dy), its rows being (a, b, u), (c, d, v).
    """
    found: Any = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    a, b, _, c, d, *_ = (int(number) for number in np.frombuffer(bytes(found), dtype=np.int32))
    length = max(map(abs, (a, b, c, d))) or 1
    # Whole parts or none: up to a degree from upright is upright, as in FFmpeg.
    if any(0.02 < abs(part) / length < 0.98 for part in (a, b, c, d)):
        return None
    return _TURNS.get(((round(a / length), round(b / length)), (round(c / length), round(d / length))))
