import io

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from data_gen.frames.jpeg import JpegMaker

COLOURS = [(200, 40, 40), (40, 180, 60), (50, 60, 210), (235, 235, 235), (15, 15, 15), (220, 200, 30)]


def frame_of(colours, width, height, matrix=None, full_range=False, pixel_format="yuv420p"):
    """A frame of vertical stripes, marked with its matrix and range, or not marked."""
    stripes = np.repeat(np.array(colours, dtype=np.uint8), width // len(colours), axis=0)
    rgb = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(np.broadcast_to(stripes, (height, *stripes.shape))), format="rgb24"
    )
    frame = rgb.reformat(
        format=pixel_format, dst_colorspace=matrix or Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
    )  # fmt: skip
    frame.colorspace = int(matrix) if matrix else 2
    frame.color_range = int(ColorRange.JPEG) if full_range else int(ColorRange.MPEG)
    return frame


def stripes_of(jpeg, count):
    image = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
    width = image.shape[1] // count
    return [image[image.shape[0] // 2, width * place + width // 2] for place in range(count)]


@pytest.mark.parametrize("matrix", [Colorspace.ITU601, Colorspace.ITU709, None], ids=["601", "709", "unmarked"])
@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_colours_are_those_of_the_source(matrix, full_range, pixel_format):
    frame = frame_of(COLOURS, 384, 96, matrix, full_range, pixel_format)
    for side in (384, 192):
        found = stripes_of(JpegMaker(side, 95).make(frame), len(COLOURS))
        assert np.abs(np.array(found) - np.array(COLOURS)).max() <= 12


def test_unmarked_hd_is_bt709():
    frame = frame_of(COLOURS, 1278, 720, Colorspace.ITU709)
    frame.colorspace = 2
    found = stripes_of(JpegMaker(320, 95).make(frame), len(COLOURS))
    assert np.abs(np.array(found) - np.array(COLOURS)).max() <= 12


@pytest.mark.parametrize(
    ("size", "aspect", "side", "expected"),
    [
        ((640, 360), 1.0, 512, (512, 288)), ((360, 640), 1.0, 512, (288, 512)), ((160, 96), 1.0, 512, (160, 96)),
        ((720, 576), 64 / 45, 512, (512, 288)), ((720, 480), 0.5, 512, (384, 512)), ((641, 3), 1.0, 64, (64, 1)),
    ],
)  # fmt: skip
def test_sizes(size, aspect, side, expected):
    frame = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), dtype=np.uint8), format="rgb24")
    assert Image.open(io.BytesIO(JpegMaker(side, 75, aspect).make(frame))).size == expected


def test_quality_is_libjpegs():
    frame = frame_of(COLOURS, 384, 96)
    low, high = (Image.open(io.BytesIO(JpegMaker(384, quality).make(frame))).quantization[0][0] for quality in (30, 90))
    assert low > high
