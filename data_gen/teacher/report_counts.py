"""What a rank did, so that ranks can be added up."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from runtime import Usage


@dataclass(slots=True)
class RunReport:
    """Counts of a teacher run.

    Args:
        walks: Walks asked for: questions times samples.
        finished: Walks that ended, in this run or before.
        ends: Finished walks of this run by how they ended.
        failed: Walks that could not end, with the reason; the next run tries them again.
        left: Walks not begun or broken off, because the run stopped.
        stopped: Why the run stopped early, or "".
        usage: What this run used.
        earlier: What earlier runs had used.
        reused: Replies taken from the journal.
        seconds: Wall time.
    """

    walks: int = 0
    finished: int = 0
    ends: Counter = field(default_factory=Counter)
    failed: list[dict[str, str]] = field(default_factory=list)
    left: int = 0
    stopped: str = ""
    usage: Usage = field(default_factory=Usage)
    earlier: Usage = field(default_factory=Usage)
    reused: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every walk has ended."""
        return self.finished == self.walks

    def __add__(self, other: "RunReport") -> "RunReport":
        return RunReport(
            self.walks + other.walks, self.finished + other.finished, self.ends + other.ends,
            self.failed + other.failed, self.left + other.left, self.stopped or other.stopped,
            self.usage + other.usage, self.earlier + other.earlier, self.reused + other.reused,
            max(self.seconds, other.seconds),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        return {
            "walks": self.walks, "finished": self.finished, "ends": dict(self.ends), "failed": self.failed,
            "left": self.left, "stopped": self.stopped, "usage": self.usage.to_dict(),
            "earlier": self.earlier.to_dict(), "reused": self.reused, "seconds": round(self.seconds, 3),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "RunReport":
        values = dict(record)
        values["ends"] = Counter(values["ends"])
        for name in ("usage", "earlier"):
            values[name] = Usage.from_dict(values[name])
        return cls(**values)

    def lines(self) -> list[str]:
        """The report in words."""
        total = self.usage + self.earlier
        told = [f"{self.finished} of {self.walks} walks finished"]
        if self.ends:
            told.append("this run: " + ", ".join(f"{count} {end}" for end, count in self.ends.most_common()))
        if self.failed:
            reasons = Counter(each["reason"] for each in self.failed).most_common(3)
            told.append(f"{len(self.failed)} failed; most often: " + "; ".join(f"{why} ({n})" for why, n in reasons))
        if self.left:
            told.append(f"{self.left} left; the run stopped: {self.stopped or 'killed'}")
        tokens = total.prompt_tokens + total.completion_tokens
        told.append(f"{total.requests} requests ({self.reused} replies reused), {tokens:,} tokens, {total.usd:.4f} USD")
        return told
