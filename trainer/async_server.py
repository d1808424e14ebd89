"""What a policy server says of itself: the name that requests have to give, and how many tokens it holds."""

from dataclasses import dataclass

import requests

TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Served:
    """The first model of vLLM's `/v1/models` that is no adapter."""

    name: str
    """What `--served-model-name` made of it: the trainer's own name for the checkpoint is answered with 404."""
    longest: int
    """Tokens of prompt and completion together: a request for more is refused."""

    @classmethod
    def ask(cls, url: str) -> "Served":
        """Asks the server.

        Args:
            url: Its base URL, without `/v1`.

        Raises:
            requests.RequestException: it does not answer, or its answer is no list of models.
        """
        answer = requests.get(f"{url.rstrip('/')}/v1/models", timeout=TIMEOUT)
        answer.raise_for_status()
        try:
            # Adapters that a former run left name the model they belong to.
            base = next(each for each in answer.json()["data"] if not each.get("parent"))
            return cls(str(base["id"]), int(base["max_model_len"]))
        except (StopIteration, KeyError, TypeError, ValueError, AttributeError) as error:
            raise requests.RequestException(f"{url} lists no model of its own: {answer.text[:200]!r}") from error
