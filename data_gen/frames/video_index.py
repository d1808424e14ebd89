"""When each frame of a video is shown, read from its packets without decoding them."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from data_gen.frames.video_files import declared_size
from navigation import InputError

# A file that calls itself .mp4 may be a playlist that names other files or addresses: only true containers are opened.
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,m4v,h264,hevc,mpegvideo,ivf,gxf,dv,rm",
}
_LONGEST_DAYS = 7
_MOST_LATE_STREAMS = 100


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """A video's frames in display order.

    Time 0 is where the container begins (audio or video, whichever comes first), or the first frame if that is more
    than a minute later; the end is the last frame's. Header durations are not believed.

    Args:
        path: The file.
        stream: Index of its video stream.
        pts: int64 [frames], ascending, in ticks of `time_base`: when each frame appears.
        keyframes: int64, ascending: those of them at which decoding can begin.
        closed: bool [keyframes]: whether it is known that frames before and after it do not refer to each other.
        time_base: Seconds a tick.
        origin: Tick of time 0.
        duration: Seconds from time 0 until the last frame goes.
        reliable: Whether decoded frames carry these ticks. If not (raw streams, some AVI), frames are counted.
        warnings: What was odd and is handled.
    """

    path: Path
    stream: int
    pts: np.ndarray = field(repr=False)
    keyframes: np.ndarray = field(repr=False)
    closed: np.ndarray = field(repr=False)
    time_base: Fraction
    origin: int
    duration: float
    reliable: bool
    warnings: tuple[str, ...] = ()

    def ticks(self, seconds: np.ndarray) -> np.ndarray:
        """Times, of any shape, as int64 ticks, rounded down.

        A microsecond is added first, so that a frame's own time finds that frame.
        """
        return self.origin + np.floor((seconds + 1e-6) / float(self.time_base)).astype(np.int64)

    def shown_at(self, seconds: np.ndarray) -> np.ndarray:
        """Positions of the frames on screen, one a time: the last whose pts is not later than it, or else the first."""
        return np.maximum(self.pts.searchsorted(self.ticks(seconds), side="right") - 1, 0)

    def seconds(self, position: int) -> float:
        """When the frame at a position appears."""
        return float((int(self.pts[position]) - self.origin) * self.time_base)


def open_video(path: str | Path) -> av.container.InputContainer:
    """Opens a video file; InputError with FFmpeg's reason if it is none."""
    path = Path(path).absolute()
    try:
        if path.stat().st_size == 0:
            raise InputError(path, "file", "0 bytes", "copy or download the video again: the file is empty")
        return av.open(str(path), options=dict(_OPTIONS), metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(path, "file", reason, "give a video file that FFmpeg can open") from None


def video_stream(container: av.container.InputContainer, path: Path) -> av.video.stream.VideoStream:
    """The main moving-picture stream; cover art does not count."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        raise InputError(path, "streams", kinds, "give a file with a video stream, or use the subtitle captioner")
    best = container.streams.best("video")
    return best if best in streams else streams[0]


def demuxed(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator[av.packet.Packet]:
    """The packets of a stream and then the empty one that flushes its decoder."""
    for _ in range(_MOST_LATE_STREAMS):
        try:
            yield from container.demux(stream)
            return
        except IndexError:
            # PyAV stumbles where another stream first shows up in the middle of the file. Reading goes on behind it.
            continue


@dataclass(slots=True)
class _Packets:
    """What reading all packets of a stream tells."""

    pts: array = field(default_factory=lambda: array("q"))
    keyframes: array = field(default_factory=lambda: array("q"))
    closing: array = field(default_factory=lambda: array("q"))
    count: int = 0
    newest: int | None = None
    newest_ticks: int = 0
    all_stamped: bool = True
    ended_by: str = ""


def index_video(path: str | Path, accept_damaged: bool = False) -> VideoIndex:
    """Reads every packet's time stamp; costs about 1 % of decoding.

    Args:
        accept_damaged: Take a file that was cut short for as long as it is.

    Raises:
        InputError: with the file's name and the reason: not a video, no video stream, no frames, cut short, or time
            stamps of more than a week.
    """
    path = Path(path)
    with open_video(path) as container:
        stream = video_stream(container, path)
        time_base = stream.time_base
        if time_base is None:
            raise InputError(path, "time stamps", None, "remux the video: its stream has no clock")
        packets = _read_packets(container, stream, time_base)
        if not packets.pts:
            reason = packets.ended_by or "no packet of the video stream can be read"
            raise InputError(path, "video stream", reason, "copy or download the video again")
        stamps = np.frombuffer(packets.pts, dtype=np.int64)  # [frames]; below [keyframes] each
        stamps.sort()
        reliable = packets.all_stamped
        if np.any(stamps[1:] == stamps[:-1]):
            stamps, reliable = np.unique(stamps), False
        keyframes = np.unique(np.frombuffer(packets.keyframes, dtype=np.int64))
        closed = np.isin(keyframes, np.frombuffer(packets.closing, dtype=np.int64))
        origin, duration = _span(container, stream, time_base, stamps, packets.newest_ticks)
        if not 0 < duration <= _LONGEST_DAYS * 86400:
            raise InputError(
                path, "time stamps", duration, f"remux the video: it should last 0 to {_LONGEST_DAYS} days"
            )
        warnings = tuple(_warnings(path, container, stream, packets, duration, accept_damaged))
        return VideoIndex(
            path, stream.index, stamps, keyframes, closed, time_base, origin, duration, reliable, warnings
        )


def _read_packets(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, time_base: Fraction
) -> _Packets:
    # AVI knows no presentation times: what stands in their place is wrong where frames are reordered.
    read = _Packets(all_stamped=container.format.name != "avi")
    try:
        for packet in demuxed(container, stream):
            stamp = packet.pts if read.all_stamped and packet.pts is not None else packet.dts
            if packet.size == 0:
                continue
            read.count += 1
            read.all_stamped &= packet.pts is not None
            if stamp is None or packet.is_discard:
                continue
            if read.newest is None or stamp >= read.newest:
                read.newest, read.newest_ticks = stamp, packet.duration or 0
            read.pts.append(stamp)
            if packet.is_keyframe:
                read.keyframes.append(stamp)
                if is_idr(packet):
                    read.closing.append(stamp)
    except av.error.FFmpegError as error:
        read.ended_by = error.strerror or str(error)
    if not read.pts and read.count:
        # A raw stream without any times: its frames follow each other at its rate.
        rate = stream.average_rate or stream.guessed_rate or 25
        read.newest_ticks = max(1, round(1 / rate / time_base))
        read.pts.extend(number * read.newest_ticks for number in range(read.count))
        read.all_stamped = False
    return read


def is_idr(packet: av.Packet) -> bool:
    """Whether an H.264 packet holds an IDR picture: what is before it and what is after it do not refer to each other.

    By the type of the packet's first slice (ITU-T H.264, table 7-1), behind start codes or lengths (ISO 14496-15).
    """
    context = packet.stream.codec_context
    if context.name != "h264":
        return False
    data, header = bytes(packet), context.extradata or b""
    size = (header[4] & 3) + 1 if len(header) > 4 and header[0] == 1 else 0
    at = 0
    while at + size < len(data):
        if size:
            begin, at = at + size, at + size + int.from_bytes(data[at : at + size])
        else:
            begin = data.find(b"\0\0\1", at) + 3
            at = begin
            if begin < 3 or begin == len(data):
                return False
        kind = data[begin] & 31
        if 1 <= kind <= 5:
            return kind == 5
    return False


def _span(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    time_base: Fraction,
    stamps: np.ndarray,
    last_ticks: int,
) -> tuple[int, float]:
    """Tick of time 0, and seconds from there to the end of the last frame."""
    if not last_ticks:
        rate = stream.average_rate or stream.guessed_rate or 25
        last_ticks = int(np.median(np.diff(stamps))) if len(stamps) > 1 else round(1 / rate / time_base)
    origin = int(stamps[0])
    if container.start_time is not None:
        begin = round(Fraction(container.start_time, av.time_base) / time_base)
        # Streams that begin more than a minute apart have lost their common clock.
        if 0 <= origin - begin <= 60 / time_base:
            origin = begin
    return origin, round(float((int(stamps[-1]) + last_ticks - origin) * time_base), 6)


def _warnings(
    path: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    packets: _Packets,
    duration: float,
    accept_damaged: bool,
) -> Iterator[str]:
    # AVI counts frames that were left out because they repeat the one before.
    counted = stream.frames if container.format.name != "avi" else 0
    size, declared_bytes = path.stat().st_size, declared_size(path)
    found = ""
    if counted and packets.count < 0.98 * counted - 2:
        found = f"{packets.count} of {counted} frames"
    elif declared_bytes is not None and size < declared_bytes:
        found = f"{size} of {declared_bytes} bytes"
    if found:
        if not accept_damaged:
            raise InputError(path, "file", found, "the file is cut short: copy it again, or accept damaged videos")
        yield f"cut short: {found} are there, {duration:.1f} s"
    elif packets.ended_by:
        yield f"reading ended early at {duration:.1f} s: {packets.ended_by}"
    declared = float(container.duration / av.time_base) if container.duration else None
    if declared is None:
        yield f"no duration in the header; its frames last {duration:.1f} s"
    elif abs(declared - duration) > max(2.0, 0.05 * duration):
        yield f"the header says {declared:.1f} s; its frames last {duration:.1f} s"
