"""What requests used and cost."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Usage:
    """Counts over any number of requests.

    Args:
        requests: Requests sent, the failed ones included.
        unanswered: Those of them that brought no usage back (errors, timeouts). A provider may still bill them.
        images: Images sent with the answered ones.
        image_tokens: Prompt tokens of the images, where the server reports them (`prompt_tokens_details`).
        usd: By the price table; 0 for a model without a price.
    """

    requests: int = 0
    unanswered: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    image_tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Usage)))

    def to_dict(self) -> dict[str, float]:
        """Counts that are not 0."""
        return {field.name: value for field in fields(Usage) if (value := getattr(self, field.name))}

    @classmethod
    def from_dict(cls, record: dict[str, float]) -> "Usage":
        return cls(**{field.name: record[field.name] for field in fields(Usage) if field.name in record})
