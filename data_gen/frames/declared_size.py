"""How long a file says it is: the sign that a Matroska, WebM or AVI file was cut short."""

from pathlib import Path

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def declared_size(path: str | Path) -> int | None:
    """Bytes that the file should have at least, by its outermost element; None if it does not tell.

    Sources: RFC 8794 (EBML) and RFC 9559 (Matroska); Microsoft's RIFF, whose further parts beyond 1 GB are not looked
    at. Files that were recorded live leave the size open.
    """
    with open(path, "rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF":
        size = int.from_bytes(head[4:8], "little")
        return 8 + size if 0 < size < 0xFFFFFFFF else None
    if head[:4] != _EBML:
        return None
    length, size = _vint(head, 4)
    place = 4 + length + (size or 0)
    if not length or size is None or head[place : place + 4] != _SEGMENT:
        return None
    length, size = _vint(head, place + 4)
    return place + 4 + length + size if length and size is not None else None


def _vint(data: bytes, place: int) -> tuple[int, int | None]:
    """Length and value of an EBML number of variable length; length 0 if there is none, value None if it is open."""
    first = data[place] if place < len(data) else 0
    if not first:
        return 0, None
    length = 9 - first.bit_length()
    bits = 7 * length
    value = int.from_bytes(data[place : place + length], "big") & (1 << bits) - 1
    return length, None if value == (1 << bits) - 1 else value
