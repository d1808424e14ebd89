"""Videos as other tools leave them: cut without encoding, joined as bytes, begun inside a group, stamped oddly."""

from fractions import Fraction
from pathlib import Path

import av

from runtime.testing.numbered_clip import write_numbered_clip

CASES = Path(__file__).parents[3] / "../shared/cases/videos"
"""Files that other tools made, where they are."""


def packets_of(path):
    """All packets of the video stream, in decode order."""
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def copy(source, target, packets=lambda all_packets: all_packets, options=None, sound=False):
    """Writes some of the packets of a video's picture stream, as they are given, without encoding them."""
    with av.open(str(source)) as container, av.open(str(target), "w", options=options or {}) as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        heard = None
        if sound:
            heard = out.add_stream_from_template(container.streams.audio[0])
        chosen = packets([packet for packet in container.demux(container.streams.video[0]) if packet.size])
        for packet in chosen:
            packet.stream = stream
            out.mux(packet)
        if heard is not None:
            container.seek(0)
            for packet in container.demux(container.streams.audio[0]):
                if packet.size:
                    packet.stream = heard
                    out.mux(packet)
    return target


def cut(source, target, seconds):
    """Cuts off the beginning as `ffmpeg -ss SECONDS -i SOURCE -c copy TARGET`: from the keyframe before, hidden by an
    edit list where the container has one."""

    def later(packets):
        base = packets[0].time_base
        ticks = packets[0].pts + round(Fraction(seconds) / base)
        first = max(place for place, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= ticks)
        for packet in packets[first:]:
            packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
        return packets[first:]

    return copy(source, target, later, {"avoid_negative_ts": "disabled"} if target.suffix in {".mp4", ".mov"} else {})


def behind_its_keyframe(source, target, lost):
    """The same without its first packets."""
    return copy(source, target, lambda packets: packets[lost:], {"avoid_negative_ts": "disabled"})


def stamped(source, target, stamp):
    """Packets with other stamps: `stamp(n, ticks)` of the packet at place n; only for streams that reorder nothing."""

    def restamped(packets):
        for place, packet in enumerate(packets):
            packet.pts = packet.dts = stamp(place, packet.pts)
        return packets

    return copy(source, target, restamped)


def joined(target, *sources):
    target.write_bytes(b"".join(source.read_bytes() for source in sources))
    return target


def numbered(path, frames, begin=0, step=40, **options):
    """`frames` frames with a keyframe a second, `step` ms apart, from `begin` ms on."""
    group = {"g": "25", "sc_threshold": "0", **options}
    write_numbered_clip(path, [begin + step * number for number in range(frames)], options=group)
    return path
