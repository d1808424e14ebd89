"""One address behind several connection pools.

The HTTP client looks at every connection of its pool before and after each request, so that a pool of 128 costs more
CPU than the request itself. Sixteen connections a pool cost next to nothing.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from data_gen.durable import Budget, Completion, Endpoint, EndpointSettings, PriceTable

CONNECTIONS = 16


class EndpointGroup:
    """Asks as `Endpoint` does; each request goes to the pool with the fewest requests.

    Args:
        settings: Where and how; `in_flight` is that of the group.
        prices: Price table.
        budget: Shared by all pools.
    """

    def __init__(
        self, settings: EndpointSettings, prices: PriceTable | None = None, budget: Budget | None = None
    ) -> None:
        self.settings, self.budget = settings, budget or Budget()
        pools = -(-settings.in_flight // CONNECTIONS)
        sizes = [settings.in_flight // pools + (number < settings.in_flight % pools) for number in range(pools)]
        self._endpoints = [Endpoint(replace(settings, in_flight=size), prices, self.budget) for size in sizes]
        self._sizes = sizes
        self._asked = [0] * pools

    async def __aenter__(self) -> "EndpointGroup":
        self._stack = AsyncExitStack()
        for endpoint in self._endpoints:
            await self._stack.enter_async_context(endpoint)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    async def chat(
        self,
        messages: list[dict[str, Any]],
        max_tokens: int,
        accept: Callable[[Completion], None] | None = None,
        **parameters: Any,
    ) -> Completion:
        """See `Endpoint.chat`."""
        chosen = min(range(len(self._asked)), key=lambda number: self._asked[number] / self._sizes[number])
        self._asked[chosen] += 1
        try:
            return await self._endpoints[chosen].chat(messages, max_tokens, accept, **parameters)
        finally:
            self._asked[chosen] -= 1
