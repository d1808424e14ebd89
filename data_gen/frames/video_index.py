"""When each frame of a video is shown, read from its packets without decoding them."""

import contextlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from data_gen.frames.clock import Break, continuous, gaps, restarts, uncovered, undecodable
from data_gen.frames.video_files import declared_size
from navigation import InputError

# A file that calls itself .mp4 may be a playlist that names other files or addresses: only true containers are opened.
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,m4v,h264,hevc,mpegvideo,ivf,gxf,dv,rm,"
    "mp3,wav,flac,aac",
}
_LONGEST_DAYS = 7
_MOST_LATE_STREAMS = 100
_MOST_UNSTAMPED = 0.05
HIDDEN, LOST = -1, -2
"""Positions of what is decoded and not shown, and of what cannot be decoded."""


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """A video's frames in display order.

    Time 0 is where the container begins (audio or video, whichever comes first), or the first frame if that is more
    than a minute later; the end is the last frame's, or that of the sound that goes with one still picture. Header
    durations are not believed.

    Args:
        path: The file.
        stream: Index of its video stream.
        pts: int64 [frames], ascending, in ticks of `time_base`: when each frame appears. Where the file's own stamps
            begin again or jump, these go on. Of frames with one stamp, the later decoded one comes later.
        order: int32 [packets], decode order: the position in `pts` of what each packet holds, `HIDDEN` or `LOST`.
        heads: int64 [groups], ascending: the packets at which decoding can begin.
        keyframes: int64 [groups]: their stamps as they are in the file.
        closed: bool [groups]: whether it is known that frames before and after it do not refer to each other.
        restarts: Those groups before which another recording ends.
        time_base: Seconds a tick.
        origin: Tick of time 0.
        duration: Seconds from time 0 until the last frame goes.
        reliable: Whether decoded frames carry the file's stamps. If not (raw streams, some AVI), frames are counted.
        seekable: Whether a stamp finds its packet.
        left_out: Spans of the file's own clock, in seconds, that a jump of the stamps makes and that are no time here.
        warnings: What was odd and is handled.
    """

    path: Path
    stream: int
    pts: np.ndarray = field(repr=False)
    order: np.ndarray = field(repr=False)
    heads: np.ndarray = field(repr=False)
    keyframes: np.ndarray = field(repr=False)
    closed: np.ndarray = field(repr=False)
    restarts: frozenset[int]
    time_base: Fraction
    origin: int
    duration: float
    reliable: bool
    seekable: bool
    warnings: tuple[str, ...] = ()
    left_out: tuple[tuple[float, float], ...] = ()

    @property
    def has_pictures(self) -> bool:
        """False for sound alone, which `index_video` takes if no pictures are needed."""
        return len(self.pts) > 0

    @property
    def zero(self) -> float:
        """Time 0 in seconds of the file's own clock, for tracks that are read apart from the pictures."""
        return float(self.origin * self.time_base)

    @property
    def byte_count(self) -> int:
        return self.pts.nbytes + self.order.nbytes

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


def video_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream | None:
    """The main moving-picture stream; cover art counts only if it goes with sound and nothing else."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        return next(iter(container.streams.video), None) if container.streams.audio else None
    best = container.streams.best("video")
    return best if best in streams else streams[0]


def demuxed(container: av.container.InputContainer, *streams: av.stream.Stream) -> Iterator[av.packet.Packet]:
    """The packets of streams and then the empty ones that flush their decoders."""
    for _ in range(_MOST_LATE_STREAMS):
        try:
            yield from container.demux(*streams)
            return
        except IndexError:
            # PyAV stumbles where another stream first shows up in the middle of the file. Reading goes on behind it.
            continue


def index_video(path: str | Path, accept_damaged: bool = False, pictures: bool = True) -> VideoIndex:
    """Reads every packet's time stamp; costs about 1 % of decoding.

    Args:
        accept_damaged: Take a file that was cut short for as long as it is.
        pictures: Whether they are needed. If not, a file with sound alone is taken, for as long as the sound lasts.

    Raises:
        InputError: with the file's name and the reason: not a video, no video stream, no frames, cut short, or time
            stamps of more than a week.
    """
    path = Path(path)
    with open_video(path) as container:
        stream = video_stream(container)
        if stream is None:
            return _sound_alone(path, container, pictures)
        if stream.time_base is None:
            raise InputError(path, "time stamps", None, "remux the video: its stream has no clock")
        packets = _read_packets(container, stream, stream.time_base)
        if not packets.shown:
            reason = packets.ended_by or "no packet of the video stream can be read"
            raise InputError(path, "video stream", reason, "copy or download the video again")
        return _indexed(path, container, stream, packets, accept_damaged)


@dataclass(slots=True)
class _Packets:
    """What reading all packets of a stream tells. Arrays have one entry a packet, in decode order."""

    stamps: array = field(default_factory=lambda: array("q"))
    decoded: array = field(default_factory=lambda: array("q"))
    shown: array = field(default_factory=lambda: array("q"))
    heads: array = field(default_factory=lambda: array("q"))
    closing: array = field(default_factory=lambda: array("q"))
    count: int = 0
    unstamped: int = 0
    newest: int | None = None
    newest_ticks: int = 0
    all_stamped: bool = True
    ended_by: str = ""


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
            read.all_stamped &= packet.pts is not None or packet.dts is None
            read.unstamped += stamp is None
            if packet.is_keyframe:
                read.heads.append(read.count)
                if is_idr(packet):
                    read.closing.append(read.count)
            read.stamps.append(0 if stamp is None else stamp)
            read.decoded.append(packet.dts if packet.dts is not None else read.stamps[-1])
            if stamp is not None and not packet.is_discard:
                read.shown.append(read.count)
                if read.newest is None or stamp >= read.newest:
                    read.newest, read.newest_ticks = stamp, packet.duration or 0
            read.count += 1
    except av.error.FFmpegError as error:
        read.ended_by = error.strerror or str(error)
    # A few packets without any time are left out; many, and it is a stream that is counted.
    read.all_stamped &= read.unstamped <= _MOST_UNSTAMPED * read.count
    if not read.shown and read.count:
        # A raw stream without any times: its frames follow each other at its rate.
        read.newest_ticks = max(1, _rate_ticks(stream, time_base))
        read.stamps = array("q", (number * read.newest_ticks for number in range(read.count)))
        read.decoded, read.shown = read.stamps, array("q", range(read.count))
        read.all_stamped = False
    return read


def _rate_ticks(stream: av.video.stream.VideoStream, time_base: Fraction) -> int:
    return round(1 / (stream.average_rate or stream.guessed_rate or 25) / time_base)


_OWN_DECODING_TIMES = ("mpegts", "flv", "mov,mp4,m4a,3gp,3g2,mj2")


def _indexed(
    path: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    packets: _Packets,
    accept_damaged: bool,
) -> VideoIndex:
    time_base = stream.time_base or Fraction(1, 1)
    shown = np.frombuffer(packets.shown, dtype=np.int64)  # [shown packets]
    raw = np.frombuffer(packets.stamps, dtype=np.int64)  # [packets]
    stamps = raw[shown]
    steps = np.diff(np.sort(stamps))
    frame = int(np.median(steps[steps > 0])) if steps.any() else packets.newest_ticks or _rate_ticks(stream, time_base)
    # Half a second, or twenty frames where decoding times are FFmpeg's guesses from presentation times.
    back = round(0.5 / time_base)
    back = back if container.format.name in _OWN_DECODING_TIMES else max(back, 20 * frame)
    begins = restarts(np.frombuffer(packets.decoded, dtype=np.int64)[shown], back)
    spans = [
        span for part in np.split(stamps, [each.packet for each in begins]) for span in gaps(part, float(time_base))
    ]
    silent = list(uncovered(spans, float(time_base), sound(path))) if spans else []
    shown_clock, breaks = continuous(stamps, begins, silent, frame)
    clock = raw.copy()
    clock[shown] = shown_clock

    begins = [Break(int(shown[each.packet]), each.ticks) for each in begins]
    heads = np.frombuffer(packets.heads, dtype=np.int64)
    lost = np.zeros(len(raw), dtype=bool)
    for first, end, lacking in undecodable(clock, heads, begins):
        lost[first:end] = lacking
    order = np.where(lost, LOST, HIDDEN).astype(np.int32)
    kept = shown[~lost[shown]]
    if not len(kept):
        raise InputError(path, "video stream", "no keyframe", "copy or download the video again")
    ranked = kept[np.argsort(clock[kept], kind="stable")]
    order[ranked] = np.arange(len(ranked), dtype=np.int32)
    pts = clock[ranked]
    if not len(heads):
        heads = np.zeros(1, dtype=np.int64)
    first_of_part = [int(heads.searchsorted(each.packet)) for each in begins]
    keyframes = raw[heads]
    closed = np.isin(heads, np.frombuffer(packets.closing, dtype=np.int64))
    closed[[group for group in first_of_part if group < len(heads)]] = True

    last_ticks = frame if breaks else packets.newest_ticks or frame
    origin, duration = _span(container, time_base, int(shown_clock.min()), int(pts[-1]) + last_ticks)
    reliable = packets.all_stamped
    warnings: list[str] = []
    if len(pts) == 1 and container.streams.audio:
        heard = max((end for _, end in sound(path)), default=0.0) - float(origin * time_base)
        if heard > duration:
            duration = round(heard, 6)
            warnings.append(f"one still picture with {duration:.1f} s of sound")
    if not 0 < duration <= _LONGEST_DAYS * 86400:
        raise InputError(path, "time stamps", duration, f"remux the video: it should last 0 to {_LONGEST_DAYS} days")

    def place(tick: int) -> float:
        return float((tick - origin) * time_base)

    warnings += _clock_warnings(breaks, clock, shown, place, time_base)
    for first, end, lacking in undecodable(clock, heads, begins):
        inside = np.arange(first, end)
        begin, found = int(clock[inside].min()), inside[~lacking & (order[inside] >= 0)]
        until = int(clock[found].min()) if len(found) else int(clock[inside].max()) + frame
        warnings.append(
            f"from {place(begin):.1f} to {place(until):.1f} s the pictures are missing ({int(lacking.sum())} frames): "
            "the recording begins inside a group of pictures, without its keyframe"
        )
    if reliable and packets.unstamped:
        warnings.append(f"{packets.unstamped} frames have no time stamp and are left out")
    doubled = np.flatnonzero(pts[1:] == pts[:-1])
    if len(doubled):
        at = f"the first at {place(int(pts[doubled[0]])):.1f} s"
        warnings.append(f"{len(doubled)} frames have the time stamp of the one before ({at}): the later one is shown")
    warnings += _header_warnings(path, container, stream, packets, duration, accept_damaged)
    seekable = reliable and not breaks and bool(np.all(keyframes[1:] > keyframes[:-1]))
    return VideoIndex(
        path=path,
        stream=stream.index,
        pts=pts,
        order=order,
        heads=heads,
        keyframes=keyframes,
        closed=closed,
        restarts=frozenset(first_of_part),
        time_base=time_base,
        origin=origin,
        duration=duration,
        reliable=reliable,
        seekable=seekable,
        warnings=tuple(warnings),
        left_out=tuple((float((before + frame) * time_base), float(behind * time_base)) for before, behind in silent),
    )


def sound(path: Path) -> Iterator[tuple[float, float]]:
    """Seconds `(start, end)` of each packet of all audio streams, on the file's own clock."""
    with open_video(path) as container:
        streams = container.streams.audio
        if not streams:
            return
        with contextlib.suppress(av.error.FFmpegError):
            for packet in demuxed(container, *streams):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if packet.size and stamp is not None and not packet.is_discard:
                    start = float(stamp * packet.time_base)
                    yield start, start + float((packet.duration or 0) * packet.time_base)


def _sound_alone(path: Path, container: av.container.InputContainer, pictures: bool) -> VideoIndex:
    kinds = sorted({stream.type for stream in container.streams})
    if pictures:
        hint = "give a file with a video stream, or caption it from its subtitles"
        raise InputError(path, "streams", kinds, hint)
    spans = list(sound(path))
    if not spans:
        raise InputError(path, "streams", kinds, "give a file with pictures or sound")
    start = container.start_time / av.time_base if container.start_time is not None else min(spans)[0]
    time_base = Fraction(1, av.time_base)
    duration = round(max(end for _, end in spans) - start, 6)
    if not 0 < duration <= _LONGEST_DAYS * 86400:
        raise InputError(path, "time stamps", duration, f"remux the file: it should last 0 to {_LONGEST_DAYS} days")
    nothing = np.zeros(0, dtype=np.int64)
    warning = f"no pictures: {duration:.1f} s of sound"
    return VideoIndex(
        path=path,
        stream=-1,
        pts=nothing,
        order=nothing.astype(np.int32),
        heads=nothing,
        keyframes=nothing,
        closed=nothing.astype(bool),
        restarts=frozenset(),
        time_base=time_base,
        origin=round(start / time_base),
        duration=duration,
        reliable=False,
        seekable=False,
        warnings=(warning,),
    )


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


def _span(container: av.container.InputContainer, time_base: Fraction, first: int, end: int) -> tuple[int, float]:
    """Tick of time 0, and seconds from there to `end`."""
    origin = first
    if container.start_time is not None:
        begin = round(Fraction(container.start_time, av.time_base) / time_base)
        # Streams that begin more than a minute apart have lost their common clock.
        if 0 <= origin - begin <= 60 / time_base:
            origin = begin
    return origin, round(float((end - origin) * time_base), 6)


_MOST_PLACES = 3


def _clock_warnings(
    breaks: list[Break], clock: np.ndarray, shown: np.ndarray, place: Callable[[int], float], time_base: Fraction
) -> Iterator[str]:
    """Where the file's clock was not believed; the first few of each kind and how many more there are."""
    for kind, chosen in (
        ("begin again", [each for each in breaks if each.ticks < 0]),
        ("jump", [each for each in breaks if each.ticks > 0]),
    ):
        for each in chosen[:_MOST_PLACES]:
            at, by = place(int(clock[shown[each.packet]])), abs(float(each.ticks * time_base))
            yield (
                f"time stamps {kind} at {at:.1f} s, {by:,.1f} s {'back' if each.ticks < 0 else 'on'}: "
                "the clock continues there"
            )
        if len(chosen) > _MOST_PLACES:
            yield f"time stamps {kind} at {len(chosen) - _MOST_PLACES} more places"


def _header_warnings(
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
            hint = "the file is cut short: copy it again; clipscout captions --accept-damaged takes what is there"
            raise InputError(path, "file", found, hint)
        yield f"cut short: {found} are there, {duration:.1f} s"
    elif packets.ended_by:
        yield f"reading ended early at {duration:.1f} s: {packets.ended_by}"
    declared = float(container.duration / av.time_base) if container.duration else None
    if declared is None:
        yield f"no duration in the header; its frames last {duration:.1f} s"
    elif abs(declared - duration) > max(2.0, 0.05 * duration):
        yield f"the header says {declared:.1f} s; its frames last {duration:.1f} s"
