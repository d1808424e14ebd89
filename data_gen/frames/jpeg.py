"""Decoded frames to JPEGs."""

import io

import av
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from PIL import Image

_ROTATIONS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
_UNSPECIFIED = 2


class JpegMaker:
    """Makes JPEGs of one size and quality.

    The frame is scaled, converted to RGB by its own colour matrix (BT.709 for unmarked frames of 720 lines and more),
    and turned as its display matrix says.

    Args:
        side: Longest side in px. Smaller frames stay as they are.
        quality: libjpeg's scale.
        pixel_aspect: Width of a pixel over its height.
    """

    def __init__(self, side: int, quality: int, pixel_aspect: float = 1.0) -> None:
        self.side, self.quality, self.pixel_aspect = side, quality, pixel_aspect
        # One per size: it keeps its scaling tables as long as the sizes stay the same.
        self._scaler = VideoReformatter()

    def make(self, frame: av.VideoFrame) -> bytes:
        width, height = frame.width * max(1.0, self.pixel_aspect), frame.height / min(1.0, self.pixel_aspect)
        scale = min(1.0, self.side / max(width, height))
        unmarked_hd = frame.colorspace == _UNSPECIFIED and frame.height >= 720
        scaled = self._scaler.reformat(
            frame, max(1, round(width * scale)), max(1, round(height * scale)), "rgb24",
            src_colorspace=Colorspace.ITU709 if unmarked_hd else None, interpolation=Interpolation.AREA, threads=1,
        )  # fmt: skip
        image = scaled.to_image()
        turn = _ROTATIONS.get(round(frame.rotation) % 360)
        if turn is not None:
            image = image.transpose(turn)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self.quality)
        return buffer.getvalue()
