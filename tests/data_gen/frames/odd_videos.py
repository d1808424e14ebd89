"""Videos that are hard to seek in or to read, for the tests of all who decode."""

from runtime.testing.numbered_clip import write_numbered_clip

CONTAINERS = [
    ("a.mkv", "libx264", {"bf": "2"}), ("a.ts", "libx264", {"bf": "2"}), ("a.flv", "libx264", {"bf": "2"}),
    ("a.webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    ("a.ogv", "libvpx", {"cpu-used": "8", "deadline": "realtime"}),
    ("a.mpg", "mpeg2video", {"bf": "2"}), ("a.wmv", "wmv2", {}), ("a.avi", "mpeg4", {}), ("a.h264", "libx264", {}),
    ("a.mov", "libx265", {"x265-params": "log-level=none"}), ("a.mov", "mjpeg", {"strict": "unofficial"}),
    ("a.mp4", "libx264", {"x264-params": "intra-refresh=1"}),
    ("a.mp4", "libx264", {"x264-params": "open-gop=1:bframes=3"}),
]  # fmt: skip
"""Names, codecs and their options."""


class Lying:
    """A container whose index leads elsewhere than asked: `seek(container, offset, options)` does what it likes."""

    def __init__(self, container, seek):
        self.container, self._seek = container, seek

    def seek(self, offset, **options):
        self._seek(self.container, offset, options)

    def __getattr__(self, name):
        return getattr(self.container, name)

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.container.close()


def write_late_sound(folder):
    """`a.flv` and `b.flv`, the same but for sound that first shows up in the middle, of which the header tells nothing.

    A broadcast that was recorded before its sound was switched on.
    """
    write_numbered_clip(folder / "a.flv", [40 * number for number in range(200)], options={"bf": "2"})
    data = (folder / "a.flv").read_bytes()
    place = 13
    while place < len(data) * 2 // 3:
        place += 11 + int.from_bytes(data[place + 1 : place + 4], "big") + 4
    sound = b"\x08" + (40).to_bytes(3, "big") + data[place + 4 : place + 11] + b"\x2f" + b"\xff\xfb\x90\x00" + bytes(35)
    data = data[:place] + (sound + (11 + 40).to_bytes(4, "big")) * 3 + data[place:]
    (folder / "b.flv").write_bytes(data)
    return folder / "a.flv", folder / "b.flv"
