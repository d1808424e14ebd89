"""One pass over a video, in order, that hands over each segment's frames as soon as the last of them has gone by."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from PIL import Image

from data_gen.frames.jpeg import JpegMaker
from data_gen.frames.plan import Ask, FrameRecipe, asks
from data_gen.frames.video_index import LOST, VideoIndex, demuxed, open_video
from navigation import InputError, SegmentPath, TimeGrid
from navigation.grid import sample_times

_MOST_REPLACED = 0.05
_SEEKS = 2


@dataclass(slots=True)
class SegmentFrames:
    """The frames of one segment.

    Args:
        path: The segment.
        asked: Seconds that were asked for, ascending.
        shown: Seconds at which the delivered frames appear: each the last not later than its asked time.
        jpegs: One a time. Times that fall on one frame share one object.
        replaced: How many times show an earlier frame, because their own cannot be decoded.
    """

    path: SegmentPath
    asked: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    jpegs: list[bytes] = field(default_factory=list, repr=False)
    replaced: int = 0

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
    whole video, 13 bytes a frame.

    H.264 frames that nobody asked for and that no other frame refers to are not decoded. Groups of pictures that hold
    nothing wanted are left out, unless the next one is decoded and not known to be closed (open groups refer back).
    Groups before the first that is decoded are not even read where the file's stamps can be trusted to find it.

    A frame that cannot be decoded is replaced by the last one before it. Any segment alone gets the same bytes as with
    all others.

    Raises:
        InputError: more were replaced than 5 % of the times of the whole grid, unless damage is accepted; no frame can
            be decoded or made a JPEG.
    """
    recipe = recipe or FrameRecipe()
    if not index.has_pictures:
        hint = "give a file with a video stream, or caption it from its subtitles"
        raise InputError(index.path, "video stream", None, hint)

    def shape(path: SegmentPath) -> tuple[int, int]:
        return recipe.count(len(path), grid.depth), recipe.side(len(path), grid.depth)

    in_all = sum(recipe.count(level, grid.depth) * grid.width**level for level in range(1, grid.depth + 1))
    most_replaced = None if accept_damaged else int(_MOST_REPLACED * in_all)
    passage = Passage(
        index, asks(grid, recipe, wanted), _needed(index, grid, recipe, wanted), shape, recipe.quality, most_replaced
    )
    return passage.run()


def pictures(index: VideoIndex, every: float) -> Iterator[tuple[float, Image.Image]]:
    """The picture on screen at 0, `every`, `2 · every`, … seconds, whole and turned, mode RGBX; one pass.

    Frames that cannot be decoded are replaced by the one before, without a limit. Empty without a video stream.
    """
    if not index.has_pictures:
        return
    times = np.arange(0.0, index.duration, every)
    needed = np.zeros(len(index.pts), dtype=bool)
    needed[index.shown_at(times)] = True
    moments = (Ask(float(time), (number + 1,), 0) for number, time in enumerate(times))
    passage = _Pictures(index, moments, needed, lambda path: (1, 1 << 16), 75)
    for segment in passage.run():
        yield segment.asked[0], passage.taken.pop(segment.path)


class Passage:
    """What `segment_frames` does, for any moments.

    Args:
        index: Of the video.
        asks: Moments in time order.
        needed: bool [frames]: whether anyone asks for the frame at each position.
        shape: Frames of a segment, and their longest side in px.
        quality: JPEG quality.
        most_replaced: More frames than these must not be replaced; None for no limit.
    """

    def __init__(
        self,
        index: VideoIndex,
        asks: Iterable[Ask],
        needed: np.ndarray,
        shape: Callable[[SegmentPath], tuple[int, int]],
        quality: int,
        most_replaced: int | None = None,
    ) -> None:
        self.index, self.needed, self.shape, self.quality = index, needed, shape, quality
        self.most_replaced = most_replaced
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
        self.looked_everywhere = False

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
        if self.most_replaced is not None and self.replaced > self.most_replaced:
            found = f"{self.replaced} of {self.answered} asked frames cannot be decoded"
            hint = "copy the video again; clipscout captions --accept-damaged takes what is there"
            raise InputError(self.index.path, "video stream", found, hint)

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
        segment.replaced += self.target != shown
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
        """Frames from the first wanted one on, or from the nearest one before it that can be decoded."""
        again = True
        while again:
            again = False
            for position, frame in self._frames():
                if not self.begun and position > self.target and self._look_further(position):
                    again = True
                    break
                yield position, frame
            else:
                again = not self.begun and self._look_further(len(self.index.pts))

    def _look_further(self, found: int) -> bool:
        """Asks for the last frame of the group before the first wanted one's; where there is none, for all frames
        before `found`, once. False if that has been done."""
        index, first = self.index, int(np.argmax(self.needed))
        packet = int(np.flatnonzero(index.order == first)[0])
        group = int(index.heads.searchsorted(packet, side="right")) - 1
        self.needed = self.needed.copy()
        while group > 0:
            last = int(index.order[index.heads[group - 1] : index.heads[group]].max(initial=-1))
            if 0 <= last < first:
                self.needed[last] = True
                return True
            group -= 1
        if self.looked_everywhere:
            return False
        self.looked_everywhere = True
        self.needed[:found] = True
        return True

    def _frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoded frames with their positions in display order, positions strictly ascending."""
        last, newest = len(self.index.pts) - 1, -1
        for frame in self._decoded():
            # Packets were stamped with positions before they were decoded.
            position = frame.pts if self.index.reliable else min(newest + 1, last)
            if position is not None and newest < position <= last:
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
            groups = _Groups(self.index, self.needed)
            if attempt < _SEEKS:
                groups.seek(container, stream, attempt)
            astray = False
            try:
                for packet in demuxed(container, stream):
                    if packet.size:
                        is_wanted = groups.follow(packet)
                        if groups.left:
                            yield from context.decode(None)
                            context.flush_buffers()
                        if not is_wanted:
                            continue
                        if self.index.reliable:
                            packet.pts = groups.position
                        if selective:
                            context.skip_frame = "DEFAULT" if groups.is_needed else "NONREF"
                    try:
                        yield from context.decode(packet if packet.size else None)
                    except av.error.EOFError:
                        break
                    except av.error.FFmpegError:
                        # One packet is broken: what it held is replaced, and counted where it is.
                        continue
            except _AstrayError:
                astray = True
            except av.error.FFmpegError:
                pass
        if astray or groups.sought is not None:
            # The file's own index led past the wanted frames, or to no keyframe: it is aimed a group earlier, and then
            # not used at all.
            yield from self._decoded(attempt + 1)


class _Pictures(Passage):
    """Keeps pictures instead of JPEGs: those of segments that are handed over next."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.taken: dict[SegmentPath, Image.Image] = {}

    def _give(self, ask: Ask, shown: int, frame: av.VideoFrame) -> SegmentFrames | None:
        maker = self.makers.setdefault(0, JpegMaker(1 << 16, self.quality, self.pixel_aspect))
        # A copy: the maker's buffer is used again.
        self.taken[ask.path] = maker.image(frame).copy()
        return SegmentFrames(ask.path, [ask.time], [self.index.seconds(shown)])


class _AstrayError(Exception):
    """What is read is not what the index says of this place."""


class _Groups:
    """Follows packets, from the first or from where a seek led, and says which can be left out.

    Attributes:
        sought: The group that is waited for after a seek.
        position: Of what the current packet holds; negative if it is not shown.
        is_needed: Whether anyone asks for it.
        left: Whether decoding ends before the current packet, and begins anew if at all.
    """

    def __init__(self, index: VideoIndex, needed: np.ndarray) -> None:
        self.index, self.needed = index, needed  # [frames]
        self.sought: int | None = None
        self.position, self.is_needed, self.left = -1, False, False
        wanted = np.zeros(len(index.order), dtype=bool)  # [packets]
        shown = index.order >= 0
        wanted[shown] = needed[index.order[shown]]
        groups = np.logical_or.reduceat(wanted, index.heads)  # [groups]
        if not index.reliable:
            groups[:] = True
        # An open group's first frames in time refer to the group before.
        self._decoded = groups | np.append(groups[1:] & ~index.closed[1:], False)
        self._packet, self._group = -1, -1
        self._is_decoding = self._verifies = False

    def seek(self, container: av.container.InputContainer, stream: av.video.stream.VideoStream, earlier: int) -> None:
        """Goes to the first group to decode, or `earlier` groups before, where anything is left out by that."""
        group = int(np.argmax(self._decoded)) - earlier
        if group < 1 or not self.index.seekable:
            return
        with contextlib.suppress(av.error.FFmpegError):
            container.seek(int(self.index.keyframes[group]), stream=stream, backward=True)
            self.sought, self._verifies = group, True

    def follow(self, packet: av.Packet) -> bool:
        """Takes note of the next packet; whether it is to be decoded.

        Raises:
            _AstrayError: it is another one than the index has, or a keyframe behind the one that is sought.
        """
        index, self.left = self.index, False
        if self.sought is None:
            self._packet += 1
        elif packet.is_keyframe:
            found = int(index.keyframes.searchsorted(packet.pts)) if packet.pts is not None else len(index.keyframes)
            if found > self.sought or index.keyframes[found] != packet.pts:
                raise _AstrayError
            self.sought, self._packet = None, int(index.heads[found])
        else:
            return False
        if self._packet >= len(index.order):
            return False
        self.position = int(index.order[self._packet])
        if self._verifies and self.position >= 0 and index.pts[self.position] != packet.pts:
            raise _AstrayError
        before = self._group
        while self._group + 1 < len(index.heads) and self._packet >= index.heads[self._group + 1]:
            self._group += 1
        if self._group != before:
            decodes = bool(self._decoded[self._group])
            self.left = self._is_decoding and (not decodes or self._group in index.restarts)
            self._is_decoding = decodes
        self.is_needed = self.position >= 0 and bool(self.needed[self.position])
        return self._is_decoding and self.position != LOST


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
