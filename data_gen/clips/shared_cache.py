"""A bounded cache whose values are made once, however many ask at the same moment."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SharedCache(Generic[Value]):
    """Least recently used values, dropped when their sizes sum to more than `limit`. For one event loop.

    A value that could not be made raises for all who waited for it, and is made anew for the next.

    Args:
        limit: Sum of sizes; at least the newest value stays.
        size_of: Size of a value.
    """

    def __init__(self, limit: int, size_of: Callable[[Value], int]) -> None:
        self.limit, self._size_of = limit, size_of
        self.size = self.made = self.shared = 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._underway: dict[Hashable, asyncio.Task[Value]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key, from the cache, from whoever is making it, or from `make`."""
        if key in self._values:
            self.shared += 1
            self._values.move_to_end(key)
            return self._values[key]
        task = self._underway.get(key)
        if task is None:
            # A task of its own: if the one who asked first is cancelled, the others still get it.
            task = asyncio.ensure_future(self._make(key, make))
            self._underway[key] = task
        else:
            self.shared += 1
        return await asyncio.shield(task)

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        try:
            value = await make()
        finally:
            del self._underway[key]
        self.made += 1
        self._values[key] = value
        self.size += self._size_of(value)
        while self.size > self.limit and len(self._values) > 1:
            _, old = self._values.popitem(last=False)
            self.size -= self._size_of(old)
        return value
