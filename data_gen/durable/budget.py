"""A limit on money that holds while many requests are out."""

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
        self._aside = 0.0
        self._dearest = 0.0

    def reserve(self, estimate: float) -> float:
        """Sets money aside for one request and returns how much; OutOfMoney if that much is not left."""
        amount = self._dearest or estimate
        if self.limit is not None and self.spent + self._aside + amount > self.limit:
            spent, aside = f"{self.spent:.4f}", f"{self._aside:.4f}"
            raise OutOfMoney(f"limit on money: {spent} of {self.limit:.4f} USD are spent, {aside} are in flight")
        self._aside += amount
        return amount

    def settle(self, reserved: float, cost: float) -> None:
        """Replaces what was set aside by what the request cost."""
        self._aside -= reserved
        self.spent += cost
        self._dearest = max(self._dearest, cost)
