"""One pass over a video, in order, that hands over each segment's frames as soon as the last of them has gone by."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import av
import numpy as np

from data_gen.frames.jpeg import JpegMaker
from data_gen.frames.plan import Ask, FrameRecipe, asks
from data_gen.frames.video_index import VideoIndex, demuxed, open_video
from navigation import InputError, SegmentPath, TimeGrid
from navigation.grid import sample_times

_MOST_REPLACED = 0.05


@dataclass(slots=True)
class SegmentFrames:
    """The frames of one segment.

    Args:
        path: The segment.
        asked: Seconds that were asked for, ascending.
        shown: Seconds at which the delivered frames appear: each the last not later than its asked time.
        jpegs: One a time. Times that fall on one frame share one object.
    """

    path: SegmentPath
    asked: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    jpegs: list[bytes] = field(default_factory=list, repr=False)

    @property
    def byte_count(self) -> int:
        return sum(len(jpeg) for jpeg in {id(jpeg): jpeg for jpeg in self.jpegs}.values())


def segment_frames(
    index: VideoIndex,
    grid: TimeGrid,
    recipe: FrameRecipe | None = None,
    wanted: Collection[SegmentPath] | None = None,
    accept_damaged: bool = False,
) -> Iterator[SegmentFrames]:
    """Decodes once and yields the wanted segments, in the order in which their spans end.

    The frame for time `t` is the one on screen at `t`: the last whose pts is at most `t` (plus 1 µs), and the video's
    first for a time before it; for constant and variable frame rates alike. Each frame is scaled and encoded once a
    size. Held are the segments under way (one a level) and one decoded frame, whatever the video's length; of the
    whole video, 9 bytes a frame.

    H.264 frames that nobody asked for and that no other frame refers to are not decoded. Groups of pictures in which
    nothing is wanted are left out. The one before a wanted group is decoded unless that is closed (open groups refer
    back), and so is the one after it (open groups send their predecessor's last frames behind their keyframe); groups
    before the first that is decoded are not even read.

    A frame that cannot be decoded is replaced by the last one before it.

    Raises:
        InputError: more than 5 % of the asked times were replaced, unless damage is accepted; no frame can be decoded
            or made a JPEG.
    """
    recipe = recipe or FrameRecipe()

    def shape(path: SegmentPath) -> tuple[int, int]:
        return recipe.count(len(path), grid.depth), recipe.side(len(path), grid.depth)

    passage = Passage(
        index, asks(grid, recipe, wanted), _needed(index, grid, recipe, wanted), shape, recipe.quality, accept_damaged
    )
    return passage.run()


class Passage:
    """What `segment_frames` does, for any moments.

    Args:
        index: Of the video.
        asks: Moments in time order.
        needed: bool [frames]: whether anyone asks for the frame at each position.
        shape: Frames of a segment, and their longest side in px.
        quality: JPEG quality.
        accept_damaged: Deliver however many frames were replaced.
    """

    def __init__(
        self,
        index: VideoIndex,
        asks: Iterable[Ask],
        needed: np.ndarray,
        shape: Callable[[SegmentPath], tuple[int, int]],
        quality: int,
        accept_damaged: bool = False,
    ) -> None:
        self.index, self.needed, self.shape, self.quality = index, needed, shape, quality
        self.accept_damaged = accept_damaged
        self.asks = iter(asks)
        self.next: Ask | None = None
        self.target = -1
        self._advance()
        self.open: dict[SegmentPath, SegmentFrames] = {}
        self.makers: dict[int, JpegMaker] = {}
        self.begun = False
        self.jpegs: dict[int, bytes] = {}
        self.pixel_aspect = 1.0
        self.answered = self.replaced = 0

    def run(self) -> Iterator[SegmentFrames]:
        if self.next is None:
            return
        last: tuple[int, av.VideoFrame] | None = None
        for position, frame in self._frames_from_the_first():
            if last is not None:
                # What frames that never came should have shown, the one before them shows.
                yield from self._answer(*last, position - 1)
            last, self.begun, self.jpegs = (position, frame), True, {}
            yield from self._answer(*last, position)
            if self.next is None:
                break
        if last is None:
            raise InputError(
                self.index.path, "video stream", "no frame can be decoded", "copy or download the video again"
            )
        yield from self._answer(*last, len(self.index.pts))
        share = self.replaced / self.answered
        if share > _MOST_REPLACED and not self.accept_damaged:
            found = f"{self.replaced} of {self.answered} asked frames cannot be decoded"
            raise InputError(self.index.path, "video stream", found, "copy the video again, or accept damaged videos")

    def _answer(self, shown: int, frame: av.VideoFrame, until: int) -> Iterator[SegmentFrames]:
        """Answers from the frame at position `shown` all asks whose own frame stands at `until` or before."""
        while self.next is not None and self.target <= until:
            done = self._give(self.next, shown, frame)
            self._advance()
            if done is not None:
                yield done

    def _advance(self) -> None:
        """Goes to the next ask, and finds the frame that it wants once: it is compared with every frame until then."""
        self.next = next(self.asks, None)
        if self.next is not None:
            self.target = int(self.index.shown_at(np.array(self.next.time)))

    def _give(self, ask: Ask, shown: int, frame: av.VideoFrame) -> SegmentFrames | None:
        count, side = self.shape(ask.path)
        segment = self.open.setdefault(ask.path, SegmentFrames(ask.path))
        segment.asked.append(ask.time)
        segment.shown.append(self.index.seconds(shown))
        segment.jpegs.append(self._jpeg(frame, side))
        self.answered += 1
        self.replaced += self.target != shown
        return self.open.pop(ask.path) if len(segment.asked) == count else None

    def _jpeg(self, frame: av.VideoFrame, side: int) -> bytes:
        if side not in self.jpegs:
            if side not in self.makers:
                self.makers[side] = JpegMaker(side, self.quality, self.pixel_aspect)
            try:
                self.jpegs[side] = self.makers[side].make(frame)
            except (av.error.FFmpegError, ValueError, OSError) as error:
                hint = "convert the video to a common pixel format"
                raise InputError(self.index.path, f"{frame}", str(error), hint) from None
        return self.jpegs[side]

    def _frames_from_the_first(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames from the first wanted one on, or from the one before it if that cannot be decoded."""
        for position, frame in self._frames():
            if not self.begun and position > self.target and self._want_the_group_before():
                break
            yield position, frame
        else:
            if self.begun or not self._want_the_group_before():
                return
        yield from self._frames()

    def _want_the_group_before(self) -> bool:
        """Asks for the last frame before the group of the first wanted one; false where there is none."""
        heads = self.index.pts.searchsorted(self.index.keyframes)  # [keyframes], positions of frames
        group = int(heads.searchsorted(np.argmax(self.needed), side="right")) - 1
        if group < 1:
            return False
        self.needed = self.needed.copy()
        self.needed[heads[group] - 1] = True
        return True

    def _frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoded frames with their positions in display order, positions strictly ascending."""
        pts, newest = self.index.pts, -1
        for frame in self._decoded():
            if self.index.reliable:
                if frame.pts is None:
                    continue
                position = int(pts.searchsorted(frame.pts))
                if position == len(pts) or pts[position] != frame.pts:
                    continue
            else:
                position = min(newest + 1, len(pts) - 1)
            if position > newest:
                newest = position
                yield position, frame

    def _decoded(self, attempt: int = 0) -> Iterator[av.VideoFrame]:
        with open_video(self.index.path) as container:
            stream = next(stream for stream in container.streams.video if stream.index == self.index.stream)
            context = stream.codec_context
            # Extra threads cost more CPU in all than they win here; several videos at once use the cores better.
            context.thread_count = 1
            aspect = stream.sample_aspect_ratio
            self.pixel_aspect = float(aspect) if aspect and 0.1 < aspect < 10 else 1.0
            selective = self.index.reliable and context.name == "h264"
            skip = _GroupSkipper(self.index, self.needed) if self.index.reliable else None
            sought = skip.seek(container, stream, attempt) if skip is not None and attempt < 2 else None
            late = False
            try:
                for packet in demuxed(container, stream):
                    if skip is not None and packet.pts is not None:
                        if packet.is_keyframe:
                            late = sought is not None and packet.pts > sought
                            if late:
                                break
                            sought = None
                            if skip.begins(packet.pts):
                                yield from context.decode(None)
                                context.flush_buffers()
                        if skip.skipping:
                            continue
                        if selective:
                            context.skip_frame = "DEFAULT" if skip.wants(packet.pts) else "NONREF"
                    try:
                        yield from context.decode(packet if packet.size else None)
                    except av.error.EOFError:
                        break
                    except av.error.FFmpegError:
                        # One packet is broken: what it held is replaced, and counted where it is.
                        continue
            except av.error.FFmpegError:
                pass
        if late or sought is not None:
            # The file's own index led past the wanted frames, or to no keyframe: it is aimed a group earlier, and then
            # not used at all.
            yield from self._decoded(attempt + 1)


class _GroupSkipper:
    """Which packets can be left out, group of pictures by group of pictures."""

    def __init__(self, index: VideoIndex, needed: np.ndarray) -> None:
        self.pts, self.needed = index.pts, needed  # [frames] each
        # [groups + 2]: position of each group's keyframe and whether the group is closed; then the video's end twice,
        # as the two groups after the last one.
        self.heads = np.append(np.searchsorted(index.pts, index.keyframes), [len(needed), len(needed)])
        self.closed = np.append(index.closed, [True, True])
        self.skipping = False

    def seek(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream, earlier: int
    ) -> int | None:
        """Goes to the first group to decode, or `earlier` groups before; returns its keyframe's pts.

        None where nothing is left out. Packets are skipped until a keyframe comes. It may be an earlier one.
        """
        group = int(np.searchsorted(self.heads[:-2], np.argmax(self.needed), side="right")) - 1
        group -= earlier + (not self.closed[group])
        if group < 1:
            return None
        keyframe = int(self.pts[self.heads[group]])
        try:
            container.seek(keyframe, stream=stream, backward=True)
        except av.error.FFmpegError:
            return None
        self.skipping = True
        return keyframe

    def begins(self, keyframe_pts: int) -> bool:
        """Takes note of a keyframe; true if skipping begins with it.

        Where a group is open, the last frames of the one before come after its keyframe, and its first refer to that.
        """
        before, last = self.skipping, len(self.heads) - 1
        group = min(int(np.searchsorted(self.heads, np.searchsorted(self.pts, keyframe_pts))), last)
        begin = group if self.closed[group] else max(group - 1, 0)
        end = min(group + 1, last)
        end = end if self.closed[end] else min(group + 2, last)
        self.skipping = not self.needed[self.heads[begin] : self.heads[end]].any()
        return self.skipping and not before

    def wants(self, pts: int) -> bool:
        position = int(self.pts.searchsorted(pts))
        return position < len(self.pts) and bool(self.needed[position])


def _needed(
    index: VideoIndex, grid: TimeGrid, recipe: FrameRecipe, wanted: Collection[SegmentPath] | None
) -> np.ndarray:
    """bool [frames]: whether anyone asks for the frame at each position."""
    needed = np.zeros(len(index.pts), dtype=bool)
    for path in grid.paths():
        if wanted is None or path in wanted:
            times = sample_times(*grid.interval(path), recipe.count(len(path), grid.depth))
            needed[index.shown_at(np.array(times))] = True
    return needed
