"""Places that keep their distance: badges of a drawing and labels of a chart move as little as possible."""

from collections.abc import Sequence


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Positions at least `apart`, at least squared distance from the wanted ones (pool adjacent violators); clipped."""
    pools: list[tuple[float, int]] = []  # sum of offsets, members
    for index, x in enumerate(wanted):
        total, members = x - index * apart, 1
        while pools and pools[-1][0] / pools[-1][1] > total / members:
            before, count = pools.pop()
            total, members = total + before, members + count
        pools.append((total, members))
    offsets = [total / members for total, members in pools for _ in range(members)]
    last = high - apart / 2 - (len(wanted) - 1) * apart
    return [max(low + apart / 2, min(offset, last)) + index * apart for index, offset in enumerate(offsets)]
