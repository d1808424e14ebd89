"""What a policy server says of itself, and within seconds that it died or stalled."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from runtime.fetch import Unreachable, fetch
from trainer.stopping import TrainingFailed

LAST_LINES = 15
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
            Unreachable: it does not answer, or its answer is no list of models.
        """
        answer = fetch(f"{url.rstrip('/')}/v1/models", TIMEOUT)
        if not answer.ok:
            raise Unreachable(answer.url, f"answers {answer.status}")
        try:
            # Adapters that a former run left name the model they belong to.
            base = next(each for each in answer.json()["data"] if not each.get("parent"))
            return cls(str(base["id"]), int(base["max_model_len"]))
        except (StopIteration, KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreachable(answer.url, f"it lists no model of its own: {answer.body[:200]!r}") from error


class ServerWatch(threading.Thread):
    """Asks a server's `/health` in the background.

    Args:
        url: The server's base URL.
        log: The file its output goes to, if it can be read here.
        every: Seconds between questions.
        patience: Seconds without a good answer after which the server is given up. A refused connection is given up at
            the second refusal in a row: nothing listens there any more. A reset, a name that is not found or a
            connection that takes too long may be the network's, and are waited for.
    """

    def __init__(self, url: str, log: str | Path | None = None, every: float = 2.0, patience: float = 60.0) -> None:
        super().__init__(name="server-watch", daemon=True)
        self.url, self.log = url.rstrip("/"), Path(log) if log else None
        self.every, self.patience = every, patience
        self.failure: str | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        good, refusals = time.monotonic(), 0
        while not self._ended.wait(self.every):
            try:
                answer = fetch(f"{self.url}/health", min(self.patience, 10.0))
                if answer.ok:
                    good, refusals = time.monotonic(), 0
                    continue
                said, refusals = f"answers {answer.status} to /health", 0
            except Unreachable as error:
                said = "does not answer /health" if error.timed_out else f"cannot be reached ({error.reason})"
                refusals = refusals + 1 if error.refused else 0
            if refusals > 1 or time.monotonic() - good > self.patience:
                self.failure = said
                return

    def stop(self) -> None:
        self._ended.set()

    def check(self) -> None:
        """Raises if the server was given up.

        Raises:
            TrainingFailed: with what is wrong and the last lines of the server's log.
        """
        if self.failure is not None:
            raise self.error(self.failure)

    def error(self, what: str) -> TrainingFailed:
        """What a run ends with: what is wrong, what to do, and the last lines of the server's log."""
        return TrainingFailed(
            f"the vLLM server at {self.url} {what}. Start it again, then run the same command: it goes on from the "
            f"last checkpoint. {self._tail()}"
        )

    def _tail(self) -> str:
        if self.log is None:
            return "Give server_log the file of its output to see its last lines here."
        try:
            with open(self.log, encoding="utf-8", errors="replace") as lines:
                kept = deque(lines, maxlen=LAST_LINES)
        except OSError as error:
            return f"Its log {self.log} cannot be read ({error.strerror})."
        return f"Its last lines in {self.log}:\n" + "".join(f"  {line}" for line in kept).rstrip()
