"""The frames of one segment, decoded from the keyframe before it and no further than its last frame."""

from collections.abc import Iterator

import av
import numpy as np

from data_gen.frames import SegmentFrames, VideoIndex, sample_times
from data_gen.frames.jpeg import JpegMaker
from data_gen.frames.video_index import open_video
from navigation import InputError


def leaf_frames(
    index: VideoIndex, start: float, end: float, count: int, side: int, quality: int = 75, path: tuple[int, ...] = ()
) -> SegmentFrames:
    """`count` JPEGs from the middles of equal parts of `[start, end)`, the frames on screen at those times.

    The container is sought to the last keyframe that is not later than the first wanted frame. H.264 frames that nobody
    wants and that no other frame refers to are not decoded. A frame that cannot be decoded is replaced by the one
    before it.

    Args:
        index: Of the video.
        start, end: Seconds.
        count: Frames.
        side: Longest side in px; frames are never enlarged.
        quality: JPEG quality.
        path: Kept in the result.

    Raises:
        InputError: no wanted frame can be decoded.
    """
    times = sample_times(start, end, count)
    wanted = index.shown_at(np.array(times))
    found = SegmentFrames(path)
    jpeg: bytes | None = None
    at = -1
    shown = 0
    maker: JpegMaker | None = None
    for position, frame, aspect in _frames(index, wanted):
        maker = maker or JpegMaker(side, quality, aspect)
        # Asks whose own frame never came are answered by the last one before it.
        while shown < count and jpeg is not None and wanted[shown] < position:
            _give(found, index, times[shown], at, jpeg)
            shown += 1
        if shown < count:
            jpeg, at = maker.make(frame), position
        while shown < count and wanted[shown] <= position:
            _give(found, index, times[shown], at, jpeg)
            shown += 1
        if shown == count:
            break
    while shown < count and jpeg is not None:
        _give(found, index, times[shown], at, jpeg)
        shown += 1
    if shown < count:
        what = f"no frame between {start:.1f} and {end:.1f} s can be decoded"
        raise InputError(index.path, "video stream", what, "copy or download the video again")
    return found


def _give(found: SegmentFrames, index: VideoIndex, time: float, position: int, jpeg: bytes) -> None:
    found.asked.append(time)
    found.shown.append(index.seconds(position))
    found.jpegs.append(jpeg)


def _frames(index: VideoIndex, wanted: np.ndarray) -> Iterator[tuple[int, av.VideoFrame, float]]:
    """Wanted frames, or the nearest decodable ones after them, in display order with their positions."""
    last = int(wanted[-1])
    asked = set(map(int, wanted))
    with open_video(index.path) as container:
        stream = container.streams[index.stream]
        context = stream.codec_context
        context.thread_count = 1
        aspect = stream.sample_aspect_ratio
        pixel_aspect = float(aspect) if aspect and 0.1 < aspect < 10 else 1.0
        seekable = index.reliable and len(index.keyframes)
        if seekable:
            keyframe = int(np.searchsorted(index.keyframes, index.pts[wanted[0]], side="right")) - 1
            container.seek(int(index.keyframes[max(keyframe, 0)]), stream=stream, backward=True)
        selective = index.reliable and context.name == "h264"
        counted = -1
        try:
            for packet in container.demux(stream):
                if selective and packet.pts is not None:
                    position = int(np.searchsorted(index.pts, packet.pts))
                    context.skip_frame = "DEFAULT" if position in asked else "NONREF"
                try:
                    frames = context.decode(packet if packet.size else None)
                except av.error.EOFError:
                    return
                except av.error.FFmpegError:
                    # One packet is broken; the frame before it stands in for what it held.
                    continue
                for frame in frames:
                    if index.reliable:
                        if frame.pts is None:
                            continue
                        position = int(np.searchsorted(index.pts, frame.pts))
                        if position == len(index.pts) or index.pts[position] != frame.pts:
                            continue
                    else:
                        counted = min(counted + 1, len(index.pts) - 1)
                        position = counted
                    if position in asked or position > last:
                        yield position, frame, pixel_aspect
                    if position >= last:
                        return
        except av.error.FFmpegError:
            return
