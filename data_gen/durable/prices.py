"""What tokens cost."""

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from data_gen.durable.usage import Usage
from navigation import InputError

PRICES = Path(__file__).parents[1] / "prompts" / "prices.yaml"


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
        values = {}
        for field in ("prompt", "completion", "cached"):
            value = record.get(field) if isinstance(record, dict) else None
            if value is None and field == "cached" and values:
                value = values["prompt"]
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
                raise InputError(self.path, f"models.{name}.{field}", value, "give USD per million tokens, 0 or more")
            values[field] = float(value)
        return Price(**values)
