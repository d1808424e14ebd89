"""What requests used and cost, and a limit on money that holds while many are out."""

import asyncio
import math
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from navigation import InputError, RequestFailed


@dataclass(slots=True)
class Usage:
    """Counts over any number of requests.

    Args:
        requests: Requests sent, the failed ones included.
        unanswered: Those of them that brought no usage back (errors, timeouts). A provider may still bill them.
        estimated: Those whose cost is reckoned from the texts, because the server did not tell it.
        images: Images sent with the answered ones.
        image_tokens: Prompt tokens of the images, where the server reports them (`prompt_tokens_details`).
        usd: By the price table; 0 for a model without a price. A request that brought no reply but may have been billed
            (a timeout, a connection cut in the middle) is in it as if its whole room had been used, and in no token
            count.
    """

    requests: int = 0
    unanswered: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    image_tokens: int = 0
    usd: float = 0.0
    estimated: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Usage)))

    @property
    def money(self) -> str:
        """The cost in words, and how much of it is an estimate."""
        guessed = f", {self.estimated} of {self.requests} requests estimated from their texts" if self.estimated else ""
        return f"{self.usd:.4f} USD{guessed}"

    def to_dict(self) -> dict[str, float]:
        """Counts that are not 0."""
        return {field.name: value for field in fields(Usage) if (value := getattr(self, field.name))}

    @classmethod
    def from_dict(cls, record: dict[str, float]) -> "Usage":
        return cls(**{field.name: record[field.name] for field in fields(Usage) if field.name in record})  # type: ignore[arg-type]


PRICES = Path(__file__).parent / "prices.yaml"


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. Cached prompt tokens are billed at `cached`, the others at `prompt`."""

    prompt: float
    completion: float
    cached: float

    def usd(self, usage: Usage) -> float:
        fresh = max(0, usage.prompt_tokens - usage.cached_tokens)
        cost = fresh * self.prompt + usage.cached_tokens * self.cached + usage.completion_tokens * self.completion
        return cost / 1e6


class PriceTable:
    """Prices by model name, from YAML: `models: {"gpt-4o-mini*": {prompt: 0.15, completion: 0.6, cached: 0.075}}`.

    A name may hold `*`; an exact name goes before a pattern, a longer pattern before a shorter one.

    Raises:
        InputError: not such a file, or a price that is no number of at least 0.
    """

    def __init__(self, path: str | Path = PRICES) -> None:
        self.path = Path(path)
        try:
            record = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise InputError(path, "price table", str(error), "give a readable YAML file") from None
        models = record.get("models") if isinstance(record, dict) else None
        if not isinstance(models, dict):
            raise InputError(path, "models", models, "give a mapping of model names to prices")
        self._prices = {str(name): self._price(name, price) for name, price in models.items()}

    def price(self, model: str) -> Price | None:
        """The model's price, or None if the table has none."""
        if model in self._prices:
            return self._prices[model]
        matches = [name for name in self._prices if fnmatchcase(model, name)]
        return self._prices[max(matches, key=len)] if matches else None

    def _price(self, name: object, record: Any) -> Price:
        values: dict[str, float] = {}
        for field in ("prompt", "completion", "cached"):
            value = record.get(field) if isinstance(record, dict) else None
            if value is None and field == "cached" and values:
                value = values["prompt"]
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
                raise InputError(self.path, f"models.{name}.{field}", value, "give USD per million tokens, 0 or more")
            values[field] = float(value)
        return Price(**values)


class BudgetExceeded(RequestFailed):
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
            BudgetExceeded: nothing is in flight, and what is left is less than the request could cost.
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
                raise BudgetExceeded(f"limit on money: {spent}, and the next request may cost {amount:.4f}")
            self._settled.clear()
            await self._settled.wait()

    def settle(self, ticket: int, cost: float) -> None:
        """Replaces what was set aside by what the request cost."""
        del self._aside[ticket]
        self.spent += cost
        self._dearest = max(self._dearest, cost)
        self._settled.set()
