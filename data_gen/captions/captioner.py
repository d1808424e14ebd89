"""The interface between a caption run and whatever writes captions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from data_gen.frames import SegmentFrames
from navigation import Line, SegmentPath, TimeGrid
from runtime import Usage


@dataclass(frozen=True, slots=True)
class Segment:
    """What a captioner is given.

    Args:
        lines: Timed texts (subtitles, annotations) that share time with the segment, in time order.
        frames: Its frames, if the captioner uses frames on this level.
        children: Captions of its parts in order, if the captioner uses those.
    """

    grid: TimeGrid
    path: SegmentPath
    lines: Sequence[Line] = ()
    frames: SegmentFrames | None = None
    children: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    text: str
    usage: Usage = field(default_factory=Usage)


class Captioner(Protocol):
    """Writes one segment's caption.

    `caption` may be called for many segments at once. It raises `EndpointFailed` for a segment that cannot be
    captioned, and `EndpointDown` or `OutOfMoney` if none can be.
    """

    def needs_frames(self, level: int, depth: int) -> bool:
        """Whether segments of a 1-based level are captioned from frames."""

    def needs_children(self, level: int, depth: int) -> bool:
        """Whether they are captioned from the captions of their parts."""

    async def caption(self, segment: Segment) -> Caption: ...
