"""What a caption run did: per video what is there, what is missing and why, and what it cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_gen.lines.timed_lines import count_of
from runtime import Usage


@dataclass(slots=True)
class VideoReport:
    """One video's part.

    Args:
        state: `complete` (its tree is there), `incomplete` (segments failed or were not asked; what was captioned is
            kept) or `refused` (not a usable video, or other settings).
        failed: Reasons by segment, as `[1, 2]`.
        unasked: Segments that were not asked because the run stopped.
        read: Files and tracks that its lines are from.
        usage: What this video has cost, earlier runs included.
    """

    video_id: str
    state: str
    reason: str = ""
    segments: int = 0
    captioned: int = 0
    resumed: int = 0
    unasked: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    def to_dict(self) -> dict[str, Any]:
        return {
            "video_id": self.video_id,
            "state": self.state,
            "reason": self.reason,
            "segments": self.segments,
            "captioned": self.captioned,
            "resumed": self.resumed,
            "unasked": self.unasked,
            "failed": self.failed,
            "warnings": self.warnings,
            "read": self.read,
            "usage": self.usage.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "VideoReport":
        return cls(**{**record, "usage": Usage.from_dict(record["usage"])})


@dataclass(slots=True)
class RunReport:
    """All videos of a run.

    Args:
        stopped: Why the run ended early; empty if it did not.
        seconds: Wall time.
        notes: What is said of the whole run.
    """

    videos: list[VideoReport] = field(default_factory=list)
    stopped: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every video has its tree."""
        return not self.stopped and all(video.state == "complete" for video in self.videos)

    @property
    def usage(self) -> Usage:
        return sum((video.usage for video in self.videos), Usage())

    def to_dict(self) -> dict[str, Any]:
        return {
            "complete": self.complete,
            "stopped": self.stopped,
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
            "usage": self.usage.to_dict(),
            "videos": [video.to_dict() for video in self.videos],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "RunReport":
        videos = [VideoReport.from_dict(video) for video in record["videos"]]
        return cls(videos, record["stopped"], record["seconds"], record.get("notes", []))

    @classmethod
    def merged(cls, parts: Iterable["RunReport"]) -> "RunReport":
        parts = list(parts)
        videos = sorted((video for part in parts for video in part.videos), key=lambda video: video.video_id)
        stopped = "; ".join(sorted({part.stopped for part in parts if part.stopped}))
        notes = sorted({note for part in parts for note in part.notes})
        return cls(videos, stopped, max((part.seconds for part in parts), default=0.0), notes)

    def lines(self) -> list[str]:
        """What a run says at its end: totals, then everything that is missing with its reason."""
        counts = [sum(video.state == state for video in self.videos) for state in ("complete", "incomplete", "refused")]
        usage = self.usage
        money = usage.money if usage.usd or not usage.prompt_tokens else "no price known for this model"
        lines = [
            f"{len(self.videos)} videos: {counts[0]} complete, {counts[1]} incomplete, {counts[2]} refused; "
            f"{sum(video.captioned for video in self.videos)} captions, "
            f"{sum(video.resumed for video in self.videos)} of them from earlier runs",
            f"{usage.requests} requests ({usage.unanswered} without an answer), {usage.images} images, "
            f"{usage.prompt_tokens} prompt tokens ({usage.image_tokens} of images), "
            f"{usage.completion_tokens} completion tokens, {money}",
        ]
        if read := [text for video in self.videos for text in video.read]:
            lines.append(f"lines read of {sum(bool(video.read) for video in self.videos)} videos: {_by_kind(read)}")
        lines += self.notes
        if self.stopped:
            lines.append(f"stopped: {self.stopped}")
        for video in self.videos:
            lines += [f"{video.video_id}: {warning}" for warning in video.warnings]
            if video.reason:
                lines.append(f"{video.video_id} {video.state}: {video.reason}")
            lines += [f"{video.video_id} {path} failed: {reason}" for path, reason in video.failed.items()]
            if video.unasked:
                lines.append(f"{video.video_id}: {video.unasked} of {video.segments} segments not asked")
        return lines


def _by_kind(read: Iterable[str]) -> str:
    """How many files and tracks there were of each language: `3 en, 1 no language told`."""
    return count_of(text.rpartition("(")[2].rstrip(")") if "(" in text else text for text in read)
