"""Frames of a video for the segments of a caption tree: one pass in order, each needed JPEG made once."""

from data_gen.frames.passage import SegmentFrames, pictures, segment_frames
from data_gen.frames.plan import Ask, FrameRecipe, asks
from data_gen.frames.video_files import VIDEO_SUFFIXES
from data_gen.frames.video_index import VideoIndex, index_video

__all__ = [
    "VIDEO_SUFFIXES",
    "Ask",
    "FrameRecipe",
    "SegmentFrames",
    "VideoIndex",
    "asks",
    "index_video",
    "pictures",
    "segment_frames",
]
