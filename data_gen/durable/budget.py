"""A limit on money that holds while many requests are out."""

import asyncio

from data_gen.durable.usage import Usage


class OutOfMoney(Exception):
    """The next request could pass the limit: it was not sent. `usage` is what earlier attempts at the answer used."""

    def __init__(self, reason: str) -> None:
        self.usage = Usage()
        super().__init__(reason)


class Budget:
    """Counts money spent and set aside for requests in flight.

    Before a request goes out, as much as it could cost is set aside: the dearest request so far, or the estimate of the
    first ones. So the limit is passed only by as much as a single request costs more than every one before it.

    Args:
        limit: USD, or None for no limit.
        spent: USD that earlier runs of the same work have spent.
    """

    def __init__(self, limit: float | None = None, spent: float = 0.0) -> None:
        self.limit = limit
        self.spent = spent
        self._aside: dict[int, float] = {}
        self._tickets = 0
        self._dearest = 0.0
        self._settled = asyncio.Event()

    async def reserve(self, estimate: float) -> int:
        """Sets money aside for one request and returns a ticket for `settle`.

        Waits while only requests in flight are in the way, since they may turn out cheaper.

        Raises:
            OutOfMoney: nothing is in flight, and what is left is less than the request could cost.
        """
        while True:
            amount = self._dearest or estimate
            aside = sum(self._aside.values())
            if self.limit is None or self.spent + aside + amount <= self.limit:
                self._tickets += 1
                self._aside[self._tickets] = amount
                return self._tickets
            if not self._aside:
                spent = f"{self.spent:.4f} of {self.limit:.4f} USD are spent"
                raise OutOfMoney(f"limit on money: {spent}, and the next request may cost {amount:.4f}")
            self._settled.clear()
            await self._settled.wait()

    def settle(self, ticket: int, cost: float) -> None:
        """Replaces what was set aside by what the request cost."""
        del self._aside[ticket]
        self.spent += cost
        self._dearest = max(self._dearest, cost)
        self._settled.set()
