"""The frames of one segment, decoded from a little before it and no further than its last frame."""

import numpy as np

from data_gen.frames import Ask, SegmentFrames, VideoIndex, sample_times
from data_gen.frames.passage import Passage
from navigation import InputError


def leaf_frames(
    index: VideoIndex, start: float, end: float, count: int, side: int, quality: int = 75, path: tuple[int, ...] = ()
) -> SegmentFrames:
    """`count` JPEGs from the middles of equal parts of `[start, end)`, the frames on screen at those times.

    The same frames as of a pass over the whole video, and by the same code: the container is sought to the first wanted
    frame's group of pictures (if that is open, to the one before, to which it refers), or read from its beginning where
    seeking fails or leads past that. A frame that cannot be decoded is replaced by the one before it.

    Args:
        index: Of the video.
        start, end: Seconds.
        count: Frames.
        side: Longest side in px; frames are never enlarged.
        quality: JPEG quality.
        path: Kept in the result.

    Raises:
        InputError: no wanted frame can be decoded or made a JPEG.
    """
    times = sample_times(start, end, count)
    needed = np.zeros(len(index.pts), dtype=bool)
    needed[index.shown_at(np.array(times))] = True
    asks = (Ask(time, path, position) for position, time in enumerate(times))
    passage = Passage(index, asks, needed, lambda path: (count, side), quality, accept_damaged=True)
    (found,) = passage.run()
    if passage.replaced == count:
        what = f"no frame between {start:.1f} and {end:.1f} s can be decoded"
        raise InputError(index.path, "video stream", what, "copy or download the video again")
    return found
